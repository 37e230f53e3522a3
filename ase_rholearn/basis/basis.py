"""The auxiliary basis: which functions sit on which species, and the baseline below them.

Atomic units (bohr, electrons) inside; coefficients are in e/bohr^1.5.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
from ase.data import atomic_numbers, chemical_symbols

from .mean_atoms import check_mean_atoms, tabulated_atom
from .numerical import (
    FreeAtom,
    NumericalAtomicDensity,
    NumericalShell,
    RadialFunction,
    free_atom,
    radial_function,
)
from .radial_metric import radial_metric
from .shells import Shell
from .tabulated import TabulatedFunctions
from .unknown import UnknownShell

#: Version of the dictionary form; see :meth:`Basis.to_dict`.
SCHEMA_VERSION = 1

#: That of a basis with tables, which earlier versions of the package do not read.
_SCHEMA_WITH_TABLES = 2

#: And that of a basis with mean atoms, or with functions that are not known.
_SCHEMA_OF_PRODUCTS = 3


class Layout(NamedTuple):
    """Labels of every entry of a flat coefficient vector, each of shape (size,)."""

    atom: np.ndarray
    l: np.ndarray
    n: np.ndarray
    m: np.ndarray


@dataclass(frozen=True)
class Basis:
    """Atom-centred functions of every species, with the densities of the free atoms.

    A flat coefficient vector runs over atoms in the order of the ``Atoms`` object, then
    l, then n, then m = -l..l (fastest).

    Attributes
    ----------
    shells
        Shells of each atomic number, sorted by l. The order within one l is kept.
        Contractions of Gaussians (:class:`Shell`), tables (:class:`NumericalShell`), or both;
        or functions of which only overlaps are known (:class:`UnknownShell`).
    atomic_densities
        The spherical baseline rho_Z of each atomic number, sums of Gaussians or tables.
        Empty if the coefficients describe the whole density.
    kind
        ``"all-electron"`` or ``"valence"``.
    core_charges
        The charge that the density neutralises, by atomic number. Left out for
        all-electron bases, where it is Z.
    name
        For people.
    mean_atoms
        Coefficients of the s functions of a mean (or free) atom of each atomic number. Unlike
        atomic densities these are part of what coefficients describe: models learn the
        difference, and Hirshfeld's charges take them for the free atoms. Empty if there are none.

    Examples
    --------
    >>> basis = Basis.from_shells({"H": [(0, [1.0, 0.3]), (1, [0.8])]})
    >>> basis.size([1, 1])
    10
    >>> basis.layout([1]).m.tolist()
    [0, 0, -1, 0, 1]
    """

    shells: Mapping[int, tuple[RadialFunction, ...]]
    atomic_densities: Mapping[int, FreeAtom] = field(default_factory=dict)
    kind: Literal["all-electron", "valence"] = "all-electron"
    core_charges: Mapping[int, float] = field(default_factory=dict)
    name: str = ""
    mean_atoms: Mapping[int, tuple[float, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.shells:
            raise ValueError("a basis needs shells of at least one species")
        if self.kind not in ("all-electron", "valence"):
            raise ValueError(f'kind is {self.kind!r}: give "all-electron" or "valence"')
        ordered = {int(z): tuple(self.shells[z]) for z in sorted(self.shells)}
        for z, shells in ordered.items():
            symbol = _symbol(z)
            if not shells:
                raise ValueError(f"the basis has no functions for {symbol}")
            angular = [shell.l for shell in shells]
            if angular != sorted(angular):
                raise ValueError(f"the shells of {symbol} must be sorted by l, got l = {angular}")
        if self.kind == "valence" and set(self.core_charges) != set(ordered):
            raise ValueError("a valence basis needs core_charges for each of its species")
        if self.kind == "all-electron" and self.core_charges:
            raise ValueError(
                f"core_charges are given for {_symbols(self.core_charges)} but kind is "
                '"all-electron": leave them out, or give kind="valence"'
            )
        if not all(np.isfinite(charge) for charge in self.core_charges.values()):
            raise ValueError(f"core_charges are {dict(self.core_charges)}: give finite numbers")
        if self.atomic_densities and set(self.atomic_densities) != set(ordered):
            raise ValueError(
                f"atomic_densities are given for {_symbols(self.atomic_densities)} but the basis "
                f"has {_symbols(ordered)}: give one for each species, or none"
            )
        if self.atomic_densities and self.mean_atoms:
            raise ValueError("atomic_densities and mean_atoms are given: give one of them")
        for name, value in (
            ("shells", ordered),
            ("mean_atoms", check_mean_atoms(self.mean_atoms, ordered)),
            ("atomic_densities", {int(z): d for z, d in sorted(self.atomic_densities.items())}),
            ("core_charges", {int(z): float(c) for z, c in sorted(self.core_charges.items())}),
        ):
            object.__setattr__(self, name, value)

    # construction ------------------------------------------------------------------

    @classmethod
    def from_shells(
        cls,
        shells: Mapping[str | int, Iterable[tuple[int, Sequence[float]]]],
        **options: Any,
    ) -> Basis:
        """Uncontracted basis from exponents: ``{"O": [(l, [exponents]), ...], ...}``.

        The exponents of one l are sorted from tight to diffuse.
        """
        built = {
            _atomic_number(species): tuple(
                Shell.normalized(l, [a])
                for l, exponents in sorted(entries, key=lambda entry: entry[0])
                for a in sorted(exponents, reverse=True)
            )
            for species, entries in shells.items()
        }
        return cls(built, **options)

    def with_atomic_densities(self, densities: Mapping[int, FreeAtom]) -> Basis:
        """The same functions on another baseline."""
        return Basis(self.shells, dict(densities), self.kind, self.core_charges, self.name)

    def with_functions(self, shells: Mapping[int, Sequence[RadialFunction]]) -> Basis:
        """The same with other radial functions, such as those that were not known before.

        Raises
        ------
        ValueError
            They differ from those of the basis in number or angular momentum.
        """
        for z, own in self.shells.items():
            given = [shell.l for shell in shells.get(z, ())]
            if given != [shell.l for shell in own]:
                raise ValueError(
                    f"the functions of {_symbol(z)} have l = {given}, those of the basis "
                    f"{[shell.l for shell in own]}: are they of the same settings?"
                )
        kept = {z: tuple(shells[z]) for z in self.shells}
        return replace(self, shells=kept)

    def on_mean_atoms(self) -> Basis:
        """The same functions, with the mean atoms for atomic densities.

        Coefficients on it are those of this basis less :meth:`mean_vector`.
        """
        self.check_known("a mean atom")
        densities = {
            z: tabulated_atom(self.radial_functions(z, 0), own)
            for z, own in self.mean_atoms.items()
        }
        return replace(self, atomic_densities=densities, mean_atoms={})

    # structure ---------------------------------------------------------------------

    @cached_property
    def species(self) -> tuple[int, ...]:
        """Atomic numbers, ascending."""
        return tuple(self.shells)

    @cached_property
    def l_max(self) -> int:
        """Highest angular momentum of any species."""
        return max(shell.l for shells in self.shells.values() for shell in shells)

    def radial_functions(self, z: int, l: int) -> tuple[RadialFunction, ...]:
        """Shells of one species and one l, in the order n = 0, 1, ..."""
        return self._shells_by_l[z].get(l, ())

    @cached_property
    def _shells_by_l(self) -> dict[int, dict[int, tuple[RadialFunction, ...]]]:
        orders = range(self.l_max + 1)
        return {
            z: {l: tuple(shell for shell in shells if shell.l == l) for l in orders}
            for z, shells in self.shells.items()
        }

    @cached_property
    def block_patterns(self) -> dict[tuple[int, int], np.ndarray]:
        """Where the coefficients of one l are within those of an atom: shape (2 l + 1, n).

        By (l, atomic number), for all l that a species has functions of.
        """
        patterns = {}
        for l in range(self.l_max + 1):
            for z in self.species:
                if count := len(self.radial_functions(z, l)):
                    start = sum(2 * shell.l + 1 for shell in self.shells[z] if shell.l < l)
                    m, n = np.arange(2 * l + 1)[:, None], np.arange(count)
                    patterns[l, z] = start + m + (2 * l + 1) * n
        return patterns

    @cached_property
    def sizes(self) -> dict[int, int]:
        """Functions per atom, by atomic number."""
        return {z: sum(2 * s.l + 1 for s in shells) for z, shells in self.shells.items()}

    def check_species(self, numbers: Iterable[int], *, owner: str = "the basis") -> None:
        """Raise a ValueError that names the species which the basis lacks."""
        missing = sorted(set(map(int, numbers)) - set(self.species))
        if missing:
            raise ValueError(
                f"{owner} does not know the species {_symbols(missing)}: "
                f"it has {_symbols(self.species)}"
            )

    def size(self, numbers: Sequence[int] | np.ndarray) -> int:
        """Length of the flat vector of a structure with these atomic numbers."""
        self.check_species(numbers)
        return sum(self.sizes[int(z)] for z in numbers)

    def offsets(self, numbers: Sequence[int] | np.ndarray) -> np.ndarray:
        """Where each atom's coefficients start, and the total length: shape (natoms + 1,)."""
        self.check_species(numbers)
        return np.concatenate([[0], np.cumsum([self.sizes[int(z)] for z in numbers])]).astype(int)

    def layout(self, numbers: Sequence[int] | np.ndarray) -> Layout:
        """Labels atom, l, n, m of each coefficient."""
        self.check_species(numbers)
        parts = [self._species_layout[int(z)] for z in numbers]
        atom = np.repeat(np.arange(len(parts)), [len(part[0]) for part in parts])
        l, n, m = (
            np.concatenate([part[k] for part in parts]) if parts else np.zeros(0, int)
            for k in range(3)
        )
        return Layout(atom, l, n, m)

    @cached_property
    def _species_layout(self) -> dict[int, np.ndarray]:
        """Rows l, n, m of one atom of each species: shape (3, size)."""
        layouts = {}
        for z, shells in self.shells.items():
            count = dict.fromkeys(range(self.l_max + 1), 0)
            columns = []
            for shell in shells:
                columns += [(shell.l, count[shell.l], m) for m in range(-shell.l, shell.l + 1)]
                count[shell.l] += 1
            layouts[z] = np.array(columns, dtype=int).T
        return layouts

    def check_coefficients(
        self,
        numbers: Sequence[int] | np.ndarray,
        coefficients: Any,
        *,
        argument: str = "coefficients",
    ) -> np.ndarray:
        """The coefficients as a float64 vector, after checks of length and finiteness."""
        vector = np.asarray(coefficients, dtype=float)
        expected = self.size(numbers)
        if vector.shape != (expected,):
            raise ValueError(
                f"{argument} has shape {vector.shape} but this basis has {expected} functions "
                f"on {len(numbers)} atoms: is it the basis that the coefficients belong to?"
            )
        if not np.isfinite(vector).all():
            raise ValueError(f"{argument} contains {np.sum(~np.isfinite(vector))} NaN or infinity")
        return vector

    def mean_vector(self, numbers: Sequence[int] | np.ndarray) -> np.ndarray:
        """Coefficients of mean atoms in place of all atoms: shape (size,); zeros without any."""
        offsets = self.offsets(numbers)
        vector = np.zeros(offsets[-1])
        for start, z in zip(offsets, map(int, numbers), strict=False):
            own = self.mean_atoms.get(z, ())
            vector[start : start + len(own)] = own
        return vector

    @cached_property
    def is_known(self) -> bool:
        """Whether the functions have values: densities can be evaluated, electrons counted."""
        return not any(isinstance(s, UnknownShell) for own in self.shells.values() for s in own)

    def check_known(self, purpose: str) -> None:
        """Raise a ValueError if the functions have no values, which the purpose needs."""
        if not self.is_known:
            raise ValueError(
                f"the radial functions of the basis {self.name!r} are not known, and {purpose} "
                "needs them: recover them from FHI-aims once (docs/fhi-aims-models.md) and give "
                "them to the model, or let FHI-aims evaluate the coefficients"
            )

    @cached_property
    def tabulated(self) -> dict[int, TabulatedFunctions | None]:
        """The tables of each species on common knots; None where there are none."""
        self.check_known("evaluating a density")
        return {
            z: TabulatedFunctions.of(shells, self.atomic_densities.get(z))
            for z, shells in self.shells.items()
        }

    # closed-form quantities --------------------------------------------------------

    def core_charge(self, z: int) -> float:
        """Charge of the nucleus (all-electron) or of nucleus and core (valence)."""
        return self.core_charges[z] if self.kind == "valence" else float(z)

    def baseline_electrons(self, numbers: Sequence[int] | np.ndarray) -> np.ndarray:
        """Electrons of the atomic densities: shape (natoms,); zeros without a baseline."""
        if not self.atomic_densities:
            return np.zeros(len(numbers))
        return np.array([self._atomic_electrons[int(z)] for z in numbers])

    @cached_property
    def _atomic_electrons(self) -> dict[int, float]:
        return {z: d.number_of_electrons for z, d in self.atomic_densities.items()}

    def electrons(self, numbers: Sequence[int] | np.ndarray) -> np.ndarray:
        """Electrons that each function holds at unit coefficient: shape (size,).

        Only s functions hold any: sqrt(4 pi) times the integral of R r^2 dr.
        """
        self.check_species(numbers)
        return np.concatenate([self._species_moments[int(z)][0] for z in numbers])

    def dipoles(self, numbers: Sequence[int] | np.ndarray) -> np.ndarray:
        """First moment of each function about its own centre, in bohr: shape (size, 3)."""
        self.check_species(numbers)
        return np.concatenate([self._species_moments[int(z)][1] for z in numbers])

    def dipole_functionals(
        self, numbers: Sequence[int] | np.ndarray, positions: np.ndarray
    ) -> np.ndarray:
        """First moment of each function about the centre of core charge, in bohr: (size, 3).

        About another origin, only densities of other numbers of electrons have other dipoles.

        Parameters
        ----------
        numbers, positions
            Atomic numbers, and positions in bohr (natoms, 3).
        """
        cores = np.array([self.core_charge(int(z)) for z in numbers])
        arms = positions - cores @ positions / cores.sum()
        atom = self.layout(numbers).atom
        moments: np.ndarray = self.electrons(numbers)[:, None] * arms[atom] + self.dipoles(numbers)
        return moments

    @cached_property
    def _species_moments(self) -> dict[int, tuple[np.ndarray, np.ndarray]]:
        self.check_known("counting electrons")
        moments = {}
        for z, shells in self.shells.items():
            charge, dipole = np.zeros(self.sizes[z]), np.zeros((self.sizes[z], 3))
            start = 0
            for shell in shells:
                if shell.l == 0:
                    charge[start] = np.sqrt(4 * np.pi) * shell.moment(2)
                if shell.l == 1:
                    # m = -1, 0, 1 point along y, z, x
                    dipole[start : start + 3][[0, 1, 2], [1, 2, 0]] = np.sqrt(
                        4 * np.pi / 3
                    ) * shell.moment(3)
                start += 2 * shell.l + 1
            moments[z] = charge, dipole
        return moments

    def radial_metric(self, z: int, l: int, metric: str = "overlap") -> np.ndarray:
        """Gram matrix of the functions of one species and one l: shape (n, n).

        ``metric`` is ``"overlap"`` or ``"coulomb"`` (Hartree); see
        :mod:`ase_rholearn.basis.radial_metric`.
        """
        return radial_metric(self.radial_functions(z, l), metric)

    # serialisation -----------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; floats survive the round trip bit for bit."""
        entries = {
            "schema": self._schema,
            "name": self.name,
            "kind": self.kind,
            "core_charges": {_symbol(z): c for z, c in self.core_charges.items()},
            "shells": {_symbol(z): [s.to_dict() for s in v] for z, v in self.shells.items()},
            "atomic_densities": {_symbol(z): d.to_dict() for z, d in self.atomic_densities.items()},
        }
        if self.mean_atoms:
            entries["mean_atoms"] = {_symbol(z): list(c) for z, c in self.mean_atoms.items()}
        return entries

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Basis:
        """The inverse of :meth:`to_dict`."""
        if data.get("schema") not in range(SCHEMA_VERSION, _SCHEMA_OF_PRODUCTS + 1):
            raise ValueError(
                f"the basis has schema {data.get('schema')!r}, this version reads "
                f"{SCHEMA_VERSION} to {_SCHEMA_OF_PRODUCTS}: update ase_rholearn, or rebuild "
                "the file"
            )
        missing = {"shells", "atomic_densities", "kind", "core_charges", "name"} - set(data)
        if missing:
            raise ValueError(
                f"the basis lacks the entries {sorted(missing)}: give what Basis.to_dict wrote"
            )
        return cls(
            shells={
                _atomic_number(symbol): tuple(map(radial_function, shells))
                for symbol, shells in data["shells"].items()
            },
            atomic_densities={
                _atomic_number(symbol): free_atom(density)
                for symbol, density in data["atomic_densities"].items()
            },
            kind=data["kind"],
            core_charges={_atomic_number(s): c for s, c in data["core_charges"].items()},
            name=data["name"],
            mean_atoms={_atomic_number(s): c for s, c in data.get("mean_atoms", {}).items()},
        )

    @property
    def _schema(self) -> int:
        if self.mean_atoms or not self.is_known:
            return _SCHEMA_OF_PRODUCTS
        has_tables = any(
            isinstance(one, NumericalShell | NumericalAtomicDensity)
            for parts in (*self.shells.values(), self.atomic_densities.values())
            for one in parts
        )
        return _SCHEMA_WITH_TABLES if has_tables else SCHEMA_VERSION

    def to_json(self) -> str:
        """:meth:`to_dict` as text."""
        return json.dumps(self.to_dict())

    @classmethod
    def from_json(cls, text: str) -> Basis:
        """The inverse of :meth:`to_json`."""
        try:
            data = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"the basis is not JSON ({error}): give what to_json wrote") from error
        if not isinstance(data, dict):
            raise ValueError(f"the basis is a JSON {type(data).__name__}: give what to_json wrote")
        return cls.from_dict(data)

    def __str__(self) -> str:
        letters = "spdfghiklmnoqrtuvwxyz"
        parts = []
        for z, shells in self.shells.items():
            counts = [(l, sum(s.l == l for s in shells)) for l in range(self.l_max + 1)]
            text = "".join(
                f"{count}{letters[l] if l < len(letters) else f'(l={l})'}"
                for l, count in counts
                if count
            )
            parts.append(f"{_symbol(z)} {text} ({self.sizes[z]})")
        title = self.name or "basis"
        baseline = "deformation density" if self.atomic_densities else "total density"
        known = "" if self.is_known else ", radial functions not known"
        return f"{title}, {self.kind} {baseline}{known}: " + ", ".join(parts)


def _symbol(z: int) -> str:
    if not 0 < z < len(chemical_symbols):
        raise ValueError(f"{z} is not an atomic number")
    return chemical_symbols[z]


def _symbols(numbers: Iterable[int]) -> str:
    return ", ".join(_symbol(int(z)) for z in numbers)


def _atomic_number(species: str | int) -> int:
    if isinstance(species, str):
        if species not in atomic_numbers or atomic_numbers[species] == 0:
            raise ValueError(f"{species!r} is not a chemical symbol")
        return int(atomic_numbers[species])
    _symbol(int(species))
    return int(species)
