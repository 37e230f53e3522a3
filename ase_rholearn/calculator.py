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
from collections.abc import Sequence
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

from .density import Density
from .model import DensityModel, load_model

if TYPE_CHECKING:
    from metatensor.torch import TensorMap

#: Properties that follow from the density; they win over those of ``base``.
_DENSITY_PROPERTIES = ("dipole", "charges")


class RhoCalculator(Calculator):
    """Electron density of ``Atoms``, and what follows from it, by a trained model.

    Parameters
    ----------
    model
        Name of a shipped model (``"water-pbe"``), or path of a model file.
    device
        ``"cpu"``, ``"cuda"``, ... Left out: the best that the model supports and that is here.
    dtype
        ``"float32"`` or ``"float64"``. Left out: what the file was exported with.
    base
        Another ASE calculator, for energy, forces, stress and whatever else it has. Where
        both have a property (dipole, charges), that of the density wins.

    Notes
    -----
    =============  ==========================================================================
    property       meaning
    =============  ==========================================================================
    ``dipole``     (3,) e Angstrom, nuclei and electrons; molecules only, for ions about the
                   centre of nuclear charge
    ``charges``    (natoms,) e, Hirshfeld charges against the model's densities of free atoms
    =============  ==========================================================================

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
        **unknown: Any,
    ) -> None:
        if unknown:
            raise TypeError(
                f"RhoCalculator has no arguments {sorted(unknown)}: it takes model, device, dtype "
                "and base"
            )
        if base is not None and not hasattr(base, "get_property"):
            raise TypeError(f"base is a {type(base).__name__}: give an ASE calculator")
        self._arguments: dict[str, Any] = {
            "model": os.fspath(model),
            "device": device,
            "dtype": dtype,
        }
        self.model: DensityModel = load_model(model, device, dtype)
        self.base = base
        self._cached: Density | None = None
        super().__init__()
        if base is not None:
            extra = [p for p in base.implemented_properties if p not in _DENSITY_PROPERTIES]
            self.implemented_properties = [*_DENSITY_PROPERTIES, *extra]

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
                self.results["charges"] = self.get_density().charges()
            else:
                assert self.base is not None  # ASE asks for implemented properties only
                self.results[name] = self.base.get_property(name, self.atoms)

    def get_property(
        self, name: str, atoms: Atoms | None = None, allow_calculation: bool = True
    ) -> Any:
        """One property, computed if need be; ASE calls this."""
        if name not in self.implemented_properties:
            hint = "; give base=, a calculator that has it" if name in all_properties else ""
            raise PropertyNotImplementedError(
                f"a density has no property {name!r}: RhoCalculator gives "
                f"{', '.join(self.implemented_properties)}{hint}"
            )
        return super().get_property(name, atoms, allow_calculation)

    def check_state(self, atoms: Atoms, tol: float = 1e-15) -> list[str]:
        """What differs from the last calculation; the total charge counts too."""
        changes: list[str] = super().check_state(atoms, tol=tol)
        if self.atoms is not None and _charge_differs(self.atoms, atoms):
            changes.append("initial_charges")
        return changes

    def todict(self, skip_default: bool = True) -> dict[str, Any]:
        """Arguments that make an equal calculator; trajectory files store them."""
        return {name: value for name, value in self._arguments.items() if value is not None}

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
        return self.model.predict(structures)

    def get_density(self, atoms: Atoms | None = None, *, normalize: bool = True) -> Density:
        """The electron density.

        Parameters
        ----------
        atoms
            The structure. Left out: that of the last calculation.
        normalize
            Correct the number of electrons to be exact, see :class:`Density`.
        """
        structure = self._known(atoms)
        cached = self._cached  # one reference: another thread may replace it at any time
        if cached is None or _differs(cached.atoms, structure):
            cached = self._predict(structure)
            self._cached = cached
        if normalize:
            return cached
        return Density(cached.atoms, cached.basis, cached.raw_coefficients, normalize=False)

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
            The file; an existing one is replaced.
        atoms
            The structure. Left out: that of the last calculation.
        spacing, margin
            See :meth:`Density.on_grid`, Angstrom.
        """
        self.get_density(atoms).write(_with_suffix(path), spacing=spacing, margin=margin)

    def observer(
        self,
        atoms: Atoms,
        folder: str | os.PathLike[str],
        *,
        cubes: bool = True,
        spacing: float = 0.2,
    ) -> DensityObserver:
        """Something to attach to a dynamics, to write densities along it.

        >>> from ase.build import molecule
        >>> calc = RhoCalculator("water-pbe")
        >>> observer = calc.observer(molecule("H2O"), "densities", cubes=False)
        >>> # dynamics.attach(observer, interval=10)
        """
        return DensityObserver(self, atoms, folder, cubes=cubes, spacing=spacing)

    # inside ------------------------------------------------------------------------

    def _predict(self, atoms: Atoms) -> Density:
        coefficients = self.model.coefficients([atoms])[0]
        return Density(atoms, self.model.basis, coefficients)

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


class DensityObserver:
    """Writes the density of a structure each time that it is called.

    ``folder/dipoles.csv`` gets one line a call (call number, dipole in e Angstrom, for
    molecules), and ``folder/density_00000.cube`` and so on the densities.

    Parameters
    ----------
    calculator
        Predicts the densities.
    atoms
        The structure that the dynamics moves.
    folder
        Where the files go; it is made.
    cubes
        Whether to write cubes.
    spacing
        Of the cubes, Angstrom.
    """

    def __init__(
        self,
        calculator: RhoCalculator,
        atoms: Atoms,
        folder: str | os.PathLike[str],
        *,
        cubes: bool = True,
        spacing: float = 0.2,
    ) -> None:
        self.calculator = calculator
        self.atoms = atoms
        self.folder = Path(folder)
        self.cubes = cubes
        self.spacing = spacing
        self.count = 0

    def __call__(self) -> None:
        """Write the density of the present structure."""
        self.folder.mkdir(parents=True, exist_ok=True)
        density = self.calculator.get_density(self.atoms)
        if self.cubes:
            density.write(self.folder / f"density_{self.count:05d}.cube", spacing=self.spacing)
        if not self.atoms.pbc.any():
            self._append_dipole(density.dipole())
        self.count += 1

    def _append_dipole(self, dipole: np.ndarray) -> None:
        path = self.folder / "dipoles.csv"
        new = self.count == 0
        with path.open("w" if new else "a") as stream:
            if new:
                stream.write("call,x_eA,y_eA,z_eA\n")
            stream.write(f"{self.count}," + ",".join(f"{x:.8f}" for x in dipole) + "\n")


def _is_one(atoms: Any) -> bool:
    return atoms is None or isinstance(atoms, Atoms)


def _differs(first: Atoms, second: Atoms) -> bool:
    """Whether two structures have different densities."""
    changes = compare_atoms(first, second, excluded_properties={"initial_magmoms"})
    return bool(changes) or _charge_differs(first, second)


def _charge_differs(first: Atoms, second: Atoms) -> bool:
    return bool(first.info.get("charge", 0) != second.info.get("charge", 0))


def _with_suffix(path: str | os.PathLike[str]) -> Path:
    path = Path(path)
    return path if path.suffix.lower() == ".cube" else path.with_name(path.name + ".cube")


def _rebuild(arguments: dict[str, Any], base: Calculator | None) -> RhoCalculator:
    return RhoCalculator(**arguments, base=base)


register_calculator_class("rho", RhoCalculator)
