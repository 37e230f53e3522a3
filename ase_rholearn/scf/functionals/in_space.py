"""Potentials of a functional in space and in a basis of orbitals. Atomic units."""

from __future__ import annotations

import numpy as np
import torch

from ...density import Density
from ...references.pyscf.integrals import baseline_molecule
from ..field_matrix import field_matrix
from .derivatives import Potential, kernel, potential
from .expansion import Expansion
from .forms import Functional

#: Where xx, xy, xz, yy, yz, zz stand in a 3 x 3 matrix.
_SYMMETRIC = np.array([[0, 1, 2], [1, 3, 4], [2, 4, 5]])


def potential_at_points(functional: Functional, rho: Density, points: np.ndarray) -> np.ndarray:
    r"""v(r) = dE/drho(r), which for gradient functionals has second derivatives of the density.

    .. math:: v = f_\rho - 2 \nabla \cdot (f_\sigma \nabla\rho)
                = f_\rho - 2 f_{\rho\sigma} \sigma - 4 f_{\sigma\sigma}
                  \nabla\rho \cdot H \nabla\rho - 2 f_\sigma \operatorname{tr} H

    with H the Hessian of the density. Needs PySCF for gradient functionals.

    Parameters
    ----------
    functional
        See :func:`~ase_rholearn.scf.functionals.functional`.
    rho
        The density of a molecule.
    points
        (n, 3) bohr.

    Returns
    -------
    numpy.ndarray
        (n,) Hartree.
    """
    expansion = Expansion(rho.atoms, rho.basis, points, functional.needs_gradient)
    rows = torch.from_numpy(expansion.values(rho.coefficients, baseline=True))
    if not functional.needs_gradient:
        return potential(functional, rows[0]).rho.numpy()
    value, slope = rows[0], rows[1:]
    sigma = (slope**2).sum(dim=0)
    hessian = torch.from_numpy(_hessian(expansion, rho.coefficients))
    first, second = potential(functional, value, sigma), kernel(functional, value, sigma)
    bent = torch.einsum("in,ijn,jn->n", slope, hessian, slope)
    laplacian = torch.einsum("iin->n", hessian)
    divergence = second.rho_sigma * sigma + 2 * second.sigma_sigma * bent + first.sigma * laplacian
    return (first.rho - 2 * divergence).numpy()


def potential_matrix(
    orbitals: np.ndarray, weights: np.ndarray, found: Potential, slope: np.ndarray | None = None
) -> np.ndarray:
    r"""<m|v|n> in a basis of functions, without second derivatives.

    .. math:: \int f_\rho \phi_m \phi_n + 2 f_\sigma \nabla\rho \cdot \nabla(\phi_m \phi_n)

    Parameters
    ----------
    orbitals
        Functions at the points, and for gradient functionals their slopes: (1 or 4, n, m).
    weights
        (n,) bohr^3.
    found
        First derivatives at the points.
    slope
        Gradient of the density, (3, n); left out for functionals of the density alone.

    Returns
    -------
    numpy.ndarray
        (m, m) Hartree.
    """
    fields = found.rho.numpy()[None]
    if slope is not None:
        fields = np.concatenate([fields, 2 * found.sigma.numpy() * slope])
    return field_matrix(orbitals, weights * fields)


def _hessian(expansion: Expansion, coefficients: np.ndarray) -> np.ndarray:
    """Second derivatives of the density at the points: (3, 3, n)."""
    from pyscf.dft.numint import eval_ao

    weights = expansion.to_pyscf(coefficients)
    free_atoms, amplitudes = None, np.zeros(0)
    if expansion.basis.atomic_densities:
        free_atoms, amplitudes = baseline_molecule(expansion.atoms, expansion.basis)
    found = np.empty((6, len(expansion.points)))
    for chosen, functions in expansion.function_blocks(2):
        found[:, chosen] = functions[4:] @ weights
        if free_atoms is not None:
            values = eval_ao(free_atoms, expansion.points[chosen], deriv=2)
            found[:, chosen] += values[4:] @ amplitudes
    return found[_SYMMETRIC]
