"""An ASE calculator that starts FHI-aims from predicted densities."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

import numpy as np
from ase import Atoms
from ase.calculators.calculator import (
    CalculationFailed,
    Calculator,
    PropertyNotImplementedError,
    all_changes,
)
from ase.stress import full_3x3_to_voigt_6_stress

from ..density import Density
from ..structures import check_atoms, total_charge
from .ase_io import announced_move
from .basis_info import NAME as BASIS_INFO
from .basis_info import BasisInfo, read_basis_info
from .basis_keywords import NAME as CONTROL
from .basis_keywords import check_same_basis
from .eigenvalues import Eigenvalues
from .geometry import NAME as GEOMETRY
from .geometry import read_geometry
from .judge import DENSITY_MATRICES
from .output import AimsOutput, read_output
from .predicted import check_counts, counts_of, product_coefficients
from .restart import write_restart
from .run import execute, remove_outputs
from .run_files import file_of_run
from .versions import OUTPUT, is_legacy, version_number, version_of_output

#: One diagonalisation with the predicted density; or a self-consistent calculation after it.
Mode = Literal["nscf", "scf"]

#: Properties that are derivatives of the energy.
_DERIVATIVES = ("forces", "stress", "stresses")

#: Keywords that this calculator sets.
_OWN = ("ri_density_restart", "elsi_restart", "ri_skip_scf")

#: Keywords that say the k-grid, which ASE wants of periodic structures, and of no others.
_GRIDS = ("k_grid", "kpts", "k_grid_density")

#: Directory of the diagonalisation before a self-consistent calculation.
_START = "start"


class Predictor(Protocol):
    """Something that gives densities, such as :class:`~ase_rholearn.RhoCalculator`."""

    def get_density(self, atoms: Atoms, *, normalize: bool = True) -> Density:
        """The density of a structure."""


class AimsSeeded(Calculator):
    """FHI-aims with a predicted density: energies and eigenvalues without self-consistency.

    Before each run the density is predicted, its basis compared with that of the run, and its
    coefficients are written as ``ri_restart_coeffs.out``.

    Parameters
    ----------
    aims_calculator
        ASE's ``Aims``, with the level of theory and the product basis of the model.
    rho_calculator
        That predicts coefficients on FHI-aims' product basis; with ``project``, any density.
    mode
        ``"nscf"``: FHI-aims builds the Kohn-Sham matrix of the density and diagonalises it once
        (``ri_density_restart read 0``). That gives energy, eigenvalues and Fermi level, but no
        forces: they would not be derivatives of the energy. ``"scf"``, experimental: the density
        matrix of that run starts a self-consistent one, whose results are FHI-aims' own. It is
        put together from documented keywords; no public text says that it works.
    version
        Of FHI-aims, such as ``"240925"``. Left out: as in ``reference``, or in the directory.
    reference
        Directory of a fit that the model was trained on, with ``control.in``, ``geometry.in`` and
        ``basis_info.out``: what defines the basis is compared before the first run. Left out, the
        basis is compared after each run with the ``basis_info.out`` that it writes.
    project
        Makes coefficients on FHI-aims' product basis, shape (size,), of a density in another
        basis.
    spin_calculator
        That predicts the difference of both spins' densities. Experimental.
    experimental
        Allow what no public evidence confirms.

    Attributes
    ----------
    cycles
        Self-consistency cycles of the last run; 0 for one diagonalisation.
    output
        All that the last run's output says.

    Raises
    ------
    ValueError
        Keywords that this calculator sets itself, or something experimental.
    """

    def __init__(
        self,
        aims_calculator: Any,
        rho_calculator: Predictor,
        *,
        mode: Mode = "nscf",
        version: str | int | None = None,
        reference: str | os.PathLike[str] | None = None,
        project: Callable[[Density], np.ndarray] | None = None,
        spin_calculator: Predictor | None = None,
        experimental: bool = False,
    ) -> None:
        super().__init__()
        if mode not in get_args(Mode):
            raise ValueError(f"mode is {mode!r}: give one of {get_args(Mode)}")
        for needed, what in (
            (mode == "scf", 'mode="scf"'),
            (spin_calculator is not None, "spin_calculator"),
        ):
            if needed and not experimental:
                raise ValueError(
                    f"{what}: that FHI-aims treats it as is hoped is not settled by public "
                    "evidence; experimental=True tries it all the same"
                )
        spin = str(aims_calculator.parameters.get("spin", "none")) != "none"
        if spin != (spin_calculator is not None):
            raise ValueError(
                "spin of aims_calculator and spin_calculator belong together: give both, or none"
            )
        set_already = [name for name in _OWN if name in aims_calculator.parameters]
        if set_already:
            raise ValueError(
                f"aims_calculator has the keywords {', '.join(set_already)}, which AimsSeeded "
                "sets: leave them out"
            )
        self.aims, self.rho, self.spin_rho = aims_calculator, rho_calculator, spin_calculator
        self.mode: Mode = mode
        self.reference = None if reference is None else Path(reference)
        if self.reference is not None:
            for name in (CONTROL, GEOMETRY, BASIS_INFO):
                file_of_run(self.reference, name, "reference is the directory of a fit")
        self.project = project
        self.implemented_properties = ["energy", "free_energy"]
        if mode == "scf":
            self.implemented_properties += ["forces", "stress", "dipole"]
        self.output: AimsOutput | None = None
        self._version = self._find_version(version)
        self._charge: int | None = None

    # ASE's interface ---------------------------------------------------------------

    def get_property(
        self, name: str, atoms: Atoms | None = None, allow_calculation: bool = True
    ) -> Any:
        """A property of a structure; forces and stress only of self-consistent runs."""
        if self.mode == "nscf" and name in _DERIVATIVES:
            raise PropertyNotImplementedError(
                f"{name} after one diagonalisation would not be the derivative of the energy: use "
                "forces of self-consistent runs"
            )
        return super().get_property(name, atoms, allow_calculation)

    def check_state(self, atoms: Atoms, tol: float = 1e-15) -> list[str]:
        """What has changed since the last run; the total charge counts too."""
        changes = list(super().check_state(atoms, tol))
        if self._charge is not None and total_charge(atoms) != self._charge:
            changes.append("initial_charges")
        return changes

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = tuple(all_changes),
    ) -> None:
        """Predict, write, run and read.

        Raises
        ------
        ValueError
            The basis of the model is not that of the run, or the density is on another basis.
        ase.calculators.calculator.CalculationFailed
            The run failed, or turned out to have another basis; nothing of it is used.
        """
        super().calculate(atoms, list(properties), list(system_changes))
        assert self.atoms is not None
        structure = check_atoms(self.atoms)
        counts, coefficients = self._predict(structure)
        directory = Path(self.aims.directory)
        start = directory if self.mode == "nscf" else directory / _START
        output = self._diagonalize(start, structure, counts, coefficients)
        results: dict[str, Any] = {}
        if self.mode == "scf":
            output = self._continue(directory, structure, properties)
            stress = None if output.stress is None else full_3x3_to_voigt_6_stress(output.stress)
            results = {"forces": output.forces, "stress": stress, "dipole": output.dipole}
        results.update(energy=output.total_energy, free_energy=output.free_energy)
        self.output, self._charge = output, total_charge(structure)
        self.results = {name: value for name, value in results.items() if value is not None}

    @property
    def cycles(self) -> int | None:
        """Self-consistency cycles of the last run."""
        return None if self.output is None else self.output.scf_cycles

    def get_fermi_level(self) -> float | None:
        """Fermi level of the last run, eV."""
        return self._last().fermi_level

    def get_eigenvalues(self, kpt: int = 0, spin: int = 0) -> np.ndarray:
        """Kohn-Sham eigenvalues of a k-point and spin of the last run, eV: shape (nstates,)."""
        return self._states(kpt, spin).energies

    def get_occupation_numbers(self, kpt: int = 0, spin: int = 0) -> np.ndarray:
        """Occupations of a k-point and spin of the last run: shape (nstates,)."""
        return self._states(kpt, spin).occupations

    # inside ------------------------------------------------------------------------

    def _last(self) -> AimsOutput:
        if self.output is None:
            raise ValueError("nothing has been calculated yet: ask for an energy first")
        return self.output

    def _states(self, kpt: int, spin: int) -> Eigenvalues:
        tables = self._last().eigenvalues
        for table in tables:
            if (table.k_point, table.spin) == (kpt, spin):
                return table
        raise ValueError(
            f"the output has no eigenvalues of k-point {kpt} and spin {spin}, but of "
            f"{[(table.k_point, table.spin) for table in tables]}"
        )

    def _find_version(self, version: str | int | None) -> int | None:
        if version is not None:
            return version_number(version)
        for folder in (self.reference, Path(self.aims.directory)):
            if folder is not None and (folder / OUTPUT).exists():
                found = version_of_output(folder / OUTPUT)
                if found is not None:
                    return found
        return None

    def _predict(self, atoms: Atoms) -> tuple[Mapping[str, tuple[int, ...]] | None, np.ndarray]:
        """Functions of each element, if the model says them, and coefficients."""
        counts, total = self._one(self.rho, atoms)
        if self.spin_rho is None:
            return counts, total
        _, difference = self._one(self.spin_rho, atoms)
        return counts, np.array([total + difference, total - difference]) / 2

    def _one(
        self, predictor: Predictor, atoms: Atoms
    ) -> tuple[Mapping[str, tuple[int, ...]] | None, np.ndarray]:
        density = predictor.get_density(atoms, normalize=False)
        if self.project is not None:
            return None, np.asarray(self.project(density), dtype=float)
        return counts_of(density.basis), product_coefficients(density)

    def _diagonalize(
        self,
        folder: Path,
        atoms: Atoms,
        counts: Mapping[str, tuple[int, ...]] | None,
        coefficients: np.ndarray,
    ) -> AimsOutput:
        """Run FHI-aims with the predicted density, up to one diagonalisation."""
        if self._version is None:
            raise ValueError(
                "the version of FHI-aims, on which the order of coefficients depends, is unknown: "
                "give version, or reference"
            )
        keywords: dict[str, Any] = {"ri_density_restart": "read 0"}
        if self.mode == "scf":
            keywords["elsi_restart"] = "write 1"
        keywords["ri_full_output"] = self.aims.parameters.get("ri_full_output", True)
        if not keywords["ri_full_output"] and self.reference is None:
            raise ValueError(
                "ri_full_output is False and there is no reference: the basis of the run could "
                "not be compared with the model's"
            )
        remove_outputs(folder, "rebuild")
        self._write_input(folder, atoms, keywords, ())
        if self.reference is not None:
            self._check_reference(folder, atoms, counts, coefficients)
        write_restart(folder, atoms, coefficients, version=self._version)
        output = self._run(folder)
        if output.version is not None and is_legacy(output.version) != is_legacy(self._version):
            raise CalculationFailed(
                f"FHI-aims is of version {output.version}, but coefficients were written in the "
                f"order of {self._version}: give the right version"
            )
        if (folder / BASIS_INFO).exists():
            try:
                self._check_basis(read_basis_info(folder), atoms, counts, coefficients)
            except ValueError as error:
                raise CalculationFailed(f"{folder}: {error}; its results are not used") from error
        elif self.reference is None:
            raise CalculationFailed(
                f"{folder} has no {BASIS_INFO}: whether its basis is the model's is unknown"
            )
        return output

    def _check_reference(
        self,
        folder: Path,
        atoms: Atoms,
        counts: Mapping[str, tuple[int, ...]] | None,
        coefficients: np.ndarray,
    ) -> None:
        """Compare with a run of the training set what is known before the run."""
        assert self.reference is not None
        check_same_basis(folder, self.reference)
        known = read_basis_info(self.reference).by_label(read_geometry(self.reference).labels)
        if counts is not None:
            check_counts(counts, known)
        if set(atoms.symbols) <= set(known):
            basis = BasisInfo.from_species(list(atoms.symbols), known)
            self._check_basis(basis, atoms, counts, coefficients)

    @staticmethod
    def _check_basis(
        basis: BasisInfo,
        atoms: Atoms,
        counts: Mapping[str, tuple[int, ...]] | None,
        coefficients: np.ndarray,
    ) -> None:
        found = basis.by_label(list(atoms.symbols))
        if counts is not None:
            check_counts(counts, found)
        if coefficients.shape[-1] != basis.size:
            raise ValueError(
                f"there are {coefficients.shape[-1]} coefficients for {basis.size} functions"
            )

    def _continue(self, directory: Path, atoms: Atoms, properties: Sequence[str]) -> AimsOutput:
        """Run a self-consistent calculation from the density matrix of the diagonalisation."""
        matrices = sorted((directory / _START).glob(DENSITY_MATRICES))
        if not matrices:
            raise CalculationFailed(f"{directory / _START} has no density matrix (D_spin_*.csc)")
        remove_outputs(directory, "fit")
        self._write_input(directory, atoms, {"elsi_restart": "read"}, properties)
        for path in matrices:
            (directory / path.name).symlink_to(Path(_START) / path.name)
        output = self._run(directory)
        if not output.scf_converged:
            raise CalculationFailed(f"{directory}: not self-consistent")
        return output

    def _write_input(
        self,
        folder: Path,
        atoms: Atoms,
        keywords: Mapping[str, Any],
        properties: Sequence[str],
    ) -> None:
        """Write geometry.in and control.in as ASE does, with some more keywords."""
        parameters = {"scaled": False, **self.aims.parameters, **keywords}
        charge = total_charge(atoms)
        if parameters.setdefault("charge", charge) != charge:
            raise ValueError(
                f"charge of aims_calculator is {parameters['charge']}, that of the atoms {charge}"
            )
        if atoms.pbc.any() != any(name in parameters for name in _GRIDS):
            raise ValueError(
                f"aims_calculator has {'no' if atoms.pbc.any() else 'a'} k-grid, but the structure "
                f"is {'periodic: give it' if atoms.pbc.any() else 'not periodic: leave out'} k_grid"
            )
        folder.mkdir(parents=True, exist_ok=True)
        with announced_move():
            self.aims.template.write_input(
                self.aims.profile, folder, atoms, parameters, list(properties)
            )

    def _run(self, folder: Path) -> AimsOutput:
        reason = execute(folder, self.aims.profile.get_command(None))
        if reason:
            raise CalculationFailed(f"FHI-aims in {folder}: {reason}")
        output = read_output(folder)
        if not output.normal_end or output.total_energy is None:
            raise CalculationFailed(f"{folder / OUTPUT} is not complete")
        return output
