"""ASE calculator for electron densities predicted by a model.

Examples
--------
>>> from ase.build import molecule
>>> from ase_rholearn import RhoCalculator
>>> atoms = molecule("H2O")
>>> atoms.calc = RhoCalculator("water-pbe")
>>> atoms.get_dipole_moment().shape  # e Angstrom
(3,)
>>> rho = atoms.calc.get_density()  # of the last calculation; get_density(atoms) of any
>>> round(rho.number_of_electrons, 8)
10.0
>>> atoms.get_charges().round(1)  # Hirshfeld charges, e
array([-0.3,  0.2,  0.2])

With another calculator for energy and forces, the density comes along in molecular dynamics
and relaxations:

>>> from ase.calculators.lj import LennardJones
>>> atoms.calc = RhoCalculator("water-pbe", base=LennardJones())
>>> energy, dipole = atoms.get_potential_energy(), atoms.get_dipole_moment()
"""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from ase import Atoms
from ase.calculators.calculator import (
    Calculator,
    PropertyNotImplementedError,
    all_changes,
    all_properties,
    compare_atoms,
    register_calculator_class,
)

from .basis import Basis
from .density import Density, DensityUncertainty
from .density.charges import SCHEMES
from .density.files import format_of
from .model import DensityModel, load_model
from .scf.harris_energy import HarrisEnergy, HarrisOptions
from .trajectory import DensityObserver, Quantities

if TYPE_CHECKING:
    from metatensor.torch import TensorMap

    from .model.response import CoefficientResponse
    from .scf import OneShot

#: Properties that follow from the density; they win over those of ``base``.
_DENSITY_PROPERTIES = ("dipole", "charges")

#: Properties that follow from the energies of a model; they come from one source together.
_ENERGY_PROPERTIES = ("energy", "free_energy", "forces", "stress", "energies")

#: What ``energy`` may be.
_ENERGY_CHOICES = ("auto", "model", "harris", None)

#: Those that the Harris energy has.
_HARRIS_PROPERTIES = ("energy", "free_energy", "forces")


class RhoCalculator(Calculator):
    """Electron density of ``Atoms``, and what follows from it, by a trained model.

    Parameters
    ----------
    model
        Name of a shipped model (``"water-pbe"``), or path of a model file.
    device
        ``"cpu"``, ``"cuda"``, ... Left out: the best that the model supports and that is here.
    dtype
        ``"float32"`` or ``"float64"``. Left out: what the file was exported with, or
        ``"float64"`` for ``energy="harris"``, whose forces should be exact.
    base
        Another ASE calculator, for energy, forces, stress and whatever else it has. Where
        both have a property (dipole, charges), that of the density wins.
    energy
        Where energy, forces and stress come from, always all of them from one place.
        ``"auto"``: from ``base`` if there is one, otherwise from the model if its file has
        energies. ``"model"``: from the model, also if there is a ``base``, which then gives the
        rest; an error if the file has no energies. ``"harris"``: from the predicted density by
        one Kohn-Sham diagonalisation with PySCF, :func:`ase_rholearn.scf.one_shot`, with exact
        forces, for molecules; ``base`` gives the rest. None: from ``base`` alone.
    energy_options
        Only for ``energy="harris"``: a mapping with any of ``xc`` (an LDA or GGA functional),
        ``basis`` (of the orbitals), ``grid_level`` and ``coulomb_basis``, see
        :class:`ase_rholearn.scf.harris_energy.HarrisOptions`. What is left out is that of the
        model's references, as its card says, or that class's default.
    charges_scheme
        How ``get_charges`` divides the density among the atoms: ``"hirshfeld"``, or another
        scheme of :meth:`Density.charges`. It can be set later too, which makes charges that
        were computed before invalid.
    basis
        For models of other programs, such as metatrain: the basis of their coefficients, or
        a file of :meth:`Basis.to_json`; see :mod:`ase_rholearn.model.files.others`. For models of
        FHI-aims' densities whose radial functions are not known: the basis with these functions.
    output
        Likewise: which of the model's outputs holds coefficients, if it has several.

    Notes
    -----
    =============  ==========================================================================
    property       meaning
    =============  ==========================================================================
    ``dipole``     (3,) e Angstrom, nuclei and electrons; molecules only, for ions about the
                   centre of nuclear charge
    ``charges``    (natoms,) e, by the scheme that ``charges_scheme`` names: ``"hirshfeld"``
                   shares in proportion to the model's densities of free atoms, ``"voronoi"``
                   gives each nucleus the region nearest to it
    ``energy``     eV, where the model's file has energies (``energies``: those of the atoms;
                   ``free_energy``: the same as ``energy``), on the scale of its references
    ``forces``     (natoms, 3) eV/Angstrom, minus the gradient of the energy
    ``stress``     (6,) eV/Angstrom^3, of structures that are periodic in three directions
    =============  ==========================================================================

    One evaluation of the model gives energy, forces and stress together. The Harris energy has
    no stress, and refuses periodic structures and open shells; it costs a part of what a
    self-consistent calculation does, see ``docs/scf.md``.

    Models that know their uncertainty warn once a structure, by
    :class:`~ase_rholearn.model.OutsideTrainingWarning`, of atoms whose bonds are unlike those of
    the training set. ``warnings.simplefilter("ignore", OutsideTrainingWarning)`` silences that.

    The total charge is ``atoms.info["charge"]`` or the sum of initial charges; changing it
    invalidates cached results. A calculator can be copied and pickled (the model is loaded
    again from its file) and its methods can be called from several threads.
    """

    implemented_properties: list[str] = list(_DENSITY_PROPERTIES)  # noqa: RUF012 (ASE's way)
    ignored_changes: ClassVar[set[str]] = {"initial_magmoms"}

    def __init__(
        self,
        model: str | os.PathLike[str] = "water-pbe",
        *,
        device: str | None = None,
        dtype: str | None = None,
        base: Calculator | None = None,
        energy: str | None = "auto",
        energy_options: Mapping[str, Any] | None = None,
        charges_scheme: str = "hirshfeld",
        basis: Basis | str | os.PathLike[str] | None = None,
        output: str | None = None,
        **unknown: Any,
    ) -> None:
        if unknown:
            raise TypeError(
                f"RhoCalculator has no arguments {sorted(unknown)}: it takes model, device, "
                "dtype, base, energy, energy_options, charges_scheme, basis and output"
            )
        if base is not None and not hasattr(base, "get_property"):
            raise TypeError(f"base is a {type(base).__name__}: give an ASE calculator")
        if energy not in _ENERGY_CHOICES:
            known = ", ".join(map(repr, _ENERGY_CHOICES))
            raise ValueError(f"energy is {energy!r}: give one of {known}")
        if energy_options is not None and energy != "harris":
            raise ValueError(
                f"energy_options is given, but energy is {energy!r}: they are for energy='harris'"
            )
        self._arguments: dict[str, Any] = {
            "model": os.fspath(model),
            "device": device,
            "dtype": dtype,
            "energy": energy,
            "energy_options": None if energy_options is None else dict(energy_options),
            "basis": basis,
            "output": output,
        }
        if energy == "harris" and dtype is None:
            dtype = "float64"
        self.model: DensityModel = load_model(model, device, dtype, basis=basis, output=output)
        if energy == "model" and not self.model.has_energy:
            raise ValueError(
                f"energy is 'model', but the model {self.model.card.name!r} has no energies: "
                "train it with an `energy:` section, or give base=, a calculator that has them"
            )
        self.base = base
        self._own_energy = energy == "model" or (
            energy == "auto" and base is None and self.model.has_energy
        )
        self._harris: HarrisEnergy | None = None
        if energy == "harris":
            options = HarrisOptions.of(self.model.card.level_of_theory, energy_options)
            self._harris = HarrisEnergy(self.model.basis, options)
        self._diagonalised: tuple[OneShot, CoefficientResponse] | None = None
        self._cached: Density | None = None
        self._alarm = self.model.alarm()
        super().__init__()
        self.charges_scheme = charges_scheme
        self.implemented_properties = self._own_properties() + self._properties_of_base()

    def _own_properties(self) -> list[str]:
        if self._harris is not None:
            return [*_DENSITY_PROPERTIES, *_HARRIS_PROPERTIES]
        return [*_DENSITY_PROPERTIES, *(_ENERGY_PROPERTIES if self._own_energy else ())]

    def _properties_of_base(self) -> list[str]:
        """Those that nothing here gives."""
        if self.base is None:
            return []
        own = self._own_properties()
        if self._harris is not None:
            own += _ENERGY_PROPERTIES  # all from one place
        return [p for p in self.base.implemented_properties if p not in own]

    @property
    def charges_scheme(self) -> str:
        """How ``get_charges`` divides the density among the atoms."""
        return self._arguments["charges_scheme"]

    @charges_scheme.setter
    def charges_scheme(self, scheme: str) -> None:
        if scheme not in SCHEMES:
            raise ValueError(f"charges_scheme is {scheme!r}: give one of {', '.join(SCHEMES)}")
        self._arguments["charges_scheme"] = scheme
        self.results.pop("charges", None)

    # ASE's interface ---------------------------------------------------------------

    name = "rho"

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("dipole",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Compute properties and keep them; ASE calls this."""
        super().calculate(atoms, properties, system_changes)
        for name in properties:
            if name == "dipole":
                self.results["dipole"] = self.get_density().dipole()
            elif name == "charges":
                self.results["charges"] = self.get_density().charges(self.charges_scheme)
            elif self._harris is not None and name in _HARRIS_PROPERTIES:
                self._calculate_harris(self._harris, name)
            elif self._own_energy and name in _ENERGY_PROPERTIES:
                self._calculate_potential(name)
            else:
                assert self.base is not None  # ASE asks for implemented properties only
                self.results[name] = self.base.get_property(name, self.atoms)

    def _calculate_harris(self, harris: HarrisEnergy, name: str) -> None:
        """The energy, and forces if they are what is asked for: they cost as much again."""
        assert self.atoms is not None
        known = self._diagonalised  # one reference: another thread may replace it at any time
        if known is None or _differs(known[0].atoms, self.atoms):
            response = self.model.response(self.atoms)
            self._alarm.look([self.atoms])
            known = (harris.one_shot(self.atoms.copy(), response), response)
            self._diagonalised = known
        found, response = known
        self.results.update(energy=found.energy, free_energy=found.energy)
        if name == "forces":
            self.results["forces"] = harris.forces(found, response)

    def _calculate_potential(self, name: str) -> None:
        """All that one evaluation of the model's energies gives, if it is not known yet."""
        assert self.atoms is not None
        if name == "stress" and not self.atoms.pbc.all():
            raise PropertyNotImplementedError(
                f"atoms is periodic along {int(self.atoms.pbc.sum())} directions: there is stress "
                "only where it is periodic in three"
            )
        if "energy" in self.results:
            return
        potential = self.model.potential(self.atoms)
        self.results.update(
            energy=potential.energy,
            free_energy=potential.energy,
            energies=potential.energies,
            forces=potential.forces,
        )
        if potential.stress is not None:
            self.results["stress"] = potential.stress

    def get_property(
        self, name: str, atoms: Atoms | None = None, allow_calculation: bool = True
    ) -> Any:
        """One property, computed if need be; ASE calls this."""
        if name not in self.implemented_properties:
            hint = "; give base=, a calculator that has it" if name in all_properties else ""
            if self._harris is not None and name in _ENERGY_PROPERTIES:
                hint = "; the Harris energy is one of molecules as a whole"
            raise PropertyNotImplementedError(
                f"a density has no property {name!r}: RhoCalculator gives "
                f"{', '.join(self.implemented_properties)}{hint}"
            )
        return super().get_property(name, atoms, allow_calculation)

    def get_charges(self, atoms: Atoms | None = None) -> np.ndarray:
        """Partial charges by the scheme that ``charges_scheme`` names: shape (natoms,), e."""
        return self.get_property("charges", atoms)

    def check_state(self, atoms: Atoms, tol: float = 1e-15) -> list[str]:
        """What differs from the last calculation; the total charge counts too."""
        changes: list[str] = super().check_state(atoms, tol=tol)
        if self.atoms is not None and _charge_differs(self.atoms, atoms):
            changes.append("initial_charges")
        return changes

    def todict(self, skip_default: bool = True) -> dict[str, Any]:
        """Arguments that make an equal calculator; trajectory files store them."""
        arguments = dict(self._arguments)
        if isinstance(arguments["basis"], Basis):
            arguments["basis"] = arguments["basis"].to_json()
        defaults = {"energy": "auto"}  # those of the others are None
        return {name: v for name, v in arguments.items() if v != defaults.get(name)}

    def __deepcopy__(self, memo: dict[int, Any]) -> RhoCalculator:
        twin = RhoCalculator(**self._arguments, base=copy.deepcopy(self.base, memo))
        twin.atoms = None if self.atoms is None else self.atoms.copy()
        twin.results = copy.deepcopy(self.results, memo)
        return twin

    def __reduce__(self) -> Any:
        return _rebuild, (self._arguments, self.base)

    # densities ---------------------------------------------------------------------

    def get_coefficients(self, atoms: Atoms | Sequence[Atoms] | None = None) -> TensorMap:
        """Coefficients as predicted, in e/bohr^1.5.

        Parameters
        ----------
        atoms
            A structure, or several, which are predicted together. Left out: that of the last
            calculation.

        Returns
        -------
        metatensor.torch.TensorMap
            See :mod:`ase_rholearn.basis.tensormap`. They are not corrected to the exact number
            of electrons; :meth:`get_density` does that.
        """
        structures = [self._known(atoms)] if _is_one(atoms) else list(atoms)  # type: ignore[arg-type]
        if not structures:
            raise ValueError("atoms is an empty list: give at least one structure")
        coefficients = self.model.predict(structures)
        self._alarm.look(structures)
        return coefficients

    def get_density(self, atoms: Atoms | None = None, *, normalize: bool = True) -> Density:
        """The electron density.

        Parameters
        ----------
        atoms
            The structure. Left out: that of the last calculation.
        normalize
            Correct the number of electrons to be exact, see :class:`Density`.

        Raises
        ------
        ValueError
            The model predicts coefficients of functions that it does not know, such as those of
            FHI-aims, and ``normalize`` is True.
        """
        structure = self._known(atoms)
        if normalize:
            self.model.basis.check_known("get_density(normalize=True)")
        cached = self._cached  # one reference: another thread may replace it at any time
        if cached is None or _differs(cached.atoms, structure):
            cached = self._predict(structure)
            self._cached = cached
        if normalize:
            return cached
        return Density(cached.atoms, cached.basis, cached.raw_coefficients, normalize=False)

    def get_uncertainty(self, atoms: Atoms | None = None) -> np.ndarray:
        """Expected error of the density around each atom: shape (natoms,), electrons.

        The integral of Hirshfeld's share of the atom times the absolute error of the density, as
        found for such atoms in structures that the model was not trained on.

        Parameters
        ----------
        atoms
            The structure. Left out: that of the last calculation.

        Raises
        ------
        ValueError
            The model does not say how uncertain it is.
        """
        structure = self._known(atoms)
        errors = self.model.uncertainty([structure])[0].errors
        self._alarm.look([structure])
        return errors

    def get_density_uncertainty(
        self, atoms: Atoms | None = None, *, normalize: bool = True
    ) -> DensityUncertainty:
        """Standard deviations of the density, its dipole moment and charges.

        Parameters
        ----------
        atoms, normalize
            As for :meth:`get_density`.

        Raises
        ------
        ValueError
            The model does not say how uncertain it is.
        """
        structure = self._known(atoms)
        variances = self.model.uncertainty([structure])[0].variances
        return DensityUncertainty(self.get_density(structure, normalize=normalize), variances)

    def write_cube(
        self,
        path: str | os.PathLike[str],
        atoms: Atoms | None = None,
        *,
        spacing: float = 0.1,
        margin: float = 3.0,
    ) -> None:
        """Write the density on a grid as a cube file.

        Parameters
        ----------
        path
            The file; an existing one is replaced. Another format that :meth:`Density.write`
            knows is written if the name says so; any other name gets ``.cube`` at its end.
        atoms
            The structure. Left out: that of the last calculation.
        spacing, margin
            See :meth:`Density.on_grid`, Angstrom.
        """
        self.get_density(atoms).write(_grid_path(path), spacing=spacing, margin=margin)

    def observer(
        self,
        atoms: Atoms,
        path: str | os.PathLike[str],
        *,
        quantities: Quantities | None = None,
        append: bool = False,
        cubes: bool = True,
        spacing: float = 0.2,
    ) -> DensityObserver:
        """Something to attach to a dynamics, to write what follows from densities along it.

        Parameters
        ----------
        atoms
            The structure that the dynamics moves.
        path
            A file of frames (``.extxyz``, ``.h5``), see
            :func:`~ase_rholearn.trajectory.open_writer`; or a folder, for cubes and a table of
            dipole moments.
        quantities
            What a file gets of each frame; dipole moments if left out.
        append
            Go on with a file that there is, instead of replacing it.
        cubes, spacing
            Whether a folder gets cubes, and the spacing of their grids in Angstrom.

        Examples
        --------
        >>> from ase.build import molecule
        >>> calc = RhoCalculator("water-pbe")
        >>> observer = calc.observer(molecule("H2O"), "densities", cubes=False)
        >>> # dynamics.attach(observer, interval=10)
        """
        return DensityObserver(
            self.get_density,
            atoms,
            path,
            self.model.basis,
            model=self.model.card.name,
            quantities=quantities,
            append=append,
            cubes=cubes,
            spacing=spacing,
        )

    # inside ------------------------------------------------------------------------

    def _predict(self, atoms: Atoms) -> Density:
        basis, coefficients = self.model.basis, self.model.coefficients([atoms])[0]
        self._alarm.look([atoms])
        # without radial functions there are no electrons to count
        return Density(atoms, basis, coefficients, normalize=basis.is_known)

    def _known(self, atoms: Any) -> Atoms:
        if atoms is not None and not isinstance(atoms, Atoms):
            raise TypeError(f"atoms is a {type(atoms).__name__}: give an ase.Atoms object")
        if atoms is not None:
            known: Atoms = atoms
        elif self.atoms is not None:
            known = self.atoms
        else:
            raise ValueError("atoms is missing: no structure was calculated before; give one")
        return known


def _is_one(atoms: Any) -> bool:
    return atoms is None or isinstance(atoms, Atoms)


def _differs(first: Atoms, second: Atoms) -> bool:
    """Whether two structures have different densities."""
    changes = compare_atoms(first, second, excluded_properties={"initial_magmoms"})
    return bool(changes) or _charge_differs(first, second)


def _charge_differs(first: Atoms, second: Atoms) -> bool:
    return bool(first.info.get("charge", 0) != second.info.get("charge", 0))


def _grid_path(path: str | os.PathLike[str]) -> Path:
    """The path as it is if its name means a format, with .cube at its end if not."""
    path = Path(path)
    try:
        format_of(path)
    except ValueError:
        return path.with_name(path.name + ".cube")
    return path


def _rebuild(arguments: dict[str, Any], base: Calculator | None) -> RhoCalculator:
    return RhoCalculator(**arguments, base=base)


register_calculator_class("rho", RhoCalculator)
