"""Self-consistent Kohn-Sham runs with PySCF."""

from __future__ import annotations

from typing import Any

from ase import Atoms, units

from ...basis import Basis
from ..reference import NotConvergedError, Reference
from .molecule import build_molecule, check_molecule
from .products import numpy_products
from .self_consistent import self_consistent
from .settings import KohnSham
from .wavefunction import Wavefunction, fit_wavefunction, scaled_orbitals


def reference(
    atoms: Atoms,
    basis: Basis,
    settings: KohnSham | None = None,
    *,
    keep_orbitals: bool = False,
    max_memory: float | None = None,
) -> Reference:
    """Run PySCF for a molecule and fit its density.

    Parameters
    ----------
    atoms
        A molecule without periodic directions. Its charge is ``atoms.info["charge"]`` or
        the sum of its initial charges.
    basis
        Auxiliary basis, with the atomic densities of the same level of theory (see
        :func:`~ase_rholearn.references.pyscf.atomic_densities`).
    settings
        Level of theory and fit; the defaults are PBE/def2-TZVP and the Coulomb metric.
    keep_orbitals
        Keep the occupied orbitals (single precision), so that another basis can be fitted
        later without a new run.
    max_memory
        MB that PySCF aims at; left out: its own limit, 4000 or what the environment variable
        PYSCF_MAX_MEMORY says. Density-fitting integrals that do not fit go to a temporary file.

    Raises
    ------
    NotConvergedError
        The SCF did not converge.
    ValueError
        Periodic structures, open shells, species that the basis lacks, and what
        :func:`~ase_rholearn.structures.check_atoms` refuses.
    """
    settings = settings or KohnSham()
    check_molecule(atoms)
    basis.check_species(atoms.numbers)
    with numpy_products():
        wavefunction = _run(atoms, settings, max_memory)
    return fit_wavefunction(
        wavefunction, basis, level=settings, converged=True, keep_orbitals=keep_orbitals
    )


def kohn_sham(atoms: Atoms, settings: KohnSham, max_memory: float | None = None) -> Any:
    """The PySCF mean-field object of a closed-shell molecule, not yet run."""
    from pyscf import dft

    molecule = build_molecule(atoms, settings.orbital_basis)
    if max_memory is not None:
        molecule.max_memory = max_memory
    mean_field = dft.RKS(molecule, xc=settings.xc)
    mean_field.grids.level = settings.grid_level
    mean_field.conv_tol = settings.conv_tol
    mean_field.max_cycle = settings.max_cycle
    without_checkpoint(mean_field)
    return mean_field.density_fit() if settings.density_fit else mean_field


def without_checkpoint(mean_field: Any) -> Any:
    """The same object, without the temporary file that PySCF opens and leaves to be collected."""
    mean_field._chkfile.close()
    mean_field.chkfile = mean_field._chkfile = None
    return mean_field


def _run(atoms: Atoms, settings: KohnSham, max_memory: float | None) -> Wavefunction:
    """A converged run. What PySCF keeps in memory ends with it, before the fit needs the room."""
    mean_field = kohn_sham(atoms, settings, max_memory)
    energy = self_consistent(mean_field, settings)
    if not mean_field.converged:
        raise NotConvergedError(
            f"{settings.xc}/{settings.orbital_basis} did not converge for "
            f"{atoms.get_chemical_formula()} in {settings.max_cycle} cycles: raise max_cycle, "
            "loosen conv_tol, or check the geometry"
        )
    if settings.density_fit:
        mean_field.with_df._cderi = None  # forces do not use these integrals
    forces = None
    if settings.forces:
        gradient = mean_field.nuc_grad_method()
        gradient.grid_response = True
        forces = -gradient.kernel() * units.Hartree / units.Bohr
    return Wavefunction(
        atoms,
        mean_field.mol,
        scaled_orbitals(mean_field.mo_coeff, mean_field.mo_occ),
        source="run",
        name=atoms.get_chemical_formula(),
        energy=energy * units.Hartree,
        forces=forces,
    )
