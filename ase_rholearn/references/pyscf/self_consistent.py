"""Self-consistent cycles, most of them on a coarse quadrature grid. Atomic units."""

from __future__ import annotations

from typing import Any

import numpy as np

from .settings import KohnSham

#: PySCF's level of the grid on which most cycles are done.
_COARSE = 1

#: Convergence there before the difference of the grids is known, Hartree.
_FIRST_TOLERANCE = 1e-4


def self_consistent(mean_field: Any, settings: KohnSham) -> float:
    """Run the SCF; the energy in Hartree.

    The difference of the exchange-correlation matrices of two grids hardly depends on the
    density. So it is computed once, for a density that is converged on a coarse grid, and added
    to the core Hamiltonian there for the cycles that are left. One Fock matrix of the real grid
    then gives the energy, and the gradient by the orbitals that PySCF's own criterion looks at;
    where that is too large, cycles on the real grid follow. Half of the time of those, the same
    density to the threshold.
    """
    if settings.density_fit:
        mean_field.with_df.build()  # otherwise each cycle computes the integrals again
    if settings.grid_level <= _COARSE:
        return float(mean_field.kernel())
    _converge_on_coarse_grid(mean_field, settings)
    energy = _accept_if_converged(mean_field, settings.conv_tol)
    return float(mean_field.kernel(mean_field.make_rdm1())) if energy is None else energy


def _converge_on_coarse_grid(mean_field: Any, settings: KohnSham) -> None:
    """Orbitals whose density is nearly that of the grid of the settings."""
    from pyscf.dft.gen_grid import Grids

    real = Grids(mean_field.mol)
    real.level = settings.grid_level
    real.build()
    mean_field.grids.level = _COARSE
    mean_field.conv_check = False  # one cycle more, and nobody needs to hear that it moved
    mean_field.conv_tol = max(settings.conv_tol, _FIRST_TOLERANCE)
    mean_field.kernel()
    density = mean_field.make_rdm1()
    difference = _potential(mean_field, real, density)
    difference -= _potential(mean_field, mean_field.grids, density)
    core = mean_field.get_hcore() + difference
    mean_field.get_hcore = lambda *_: core
    mean_field.conv_tol = settings.conv_tol
    mean_field.kernel(density)
    del mean_field.get_hcore
    mean_field.grids, mean_field.conv_check = real, True


def _potential(mean_field: Any, grids: Any, density: np.ndarray) -> np.ndarray:
    """Matrix of the semilocal part of exchange and correlation: (nao, nao)."""
    found = mean_field._numint.nr_rks(mean_field.mol, grids, mean_field.xc, density)
    return np.asarray(found[2])


def _accept_if_converged(mean_field: Any, conv_tol: float) -> float | None:
    """The energy, if the orbitals are converged on the object's grid by PySCF's criterion."""
    density = mean_field.make_rdm1()
    potential = mean_field.get_veff(mean_field.mol, density)
    fock = mean_field.get_fock(dm=density, vhf=potential)
    gradient = mean_field.get_grad(mean_field.mo_coeff, mean_field.mo_occ, fock)
    if not np.linalg.norm(gradient) < np.sqrt(conv_tol):
        return None
    mean_field.e_tot = mean_field.energy_tot(density, vhf=potential)
    mean_field.mo_energy, mean_field.mo_coeff = mean_field.eig(fock, mean_field.get_ovlp())
    mean_field.mo_occ = mean_field.get_occ(mean_field.mo_energy, mean_field.mo_coeff)
    mean_field.converged = True
    return float(mean_field.e_tot)
