"""Potentials and kernels of functionals, by automatic differentiation. Atomic units."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.func import grad

from .forms import Functional


@dataclass(frozen=True)
class Potential:
    """Energy per volume and its first derivatives at points.

    For spin densities ``rho`` has shape (2, n) and ``sigma`` (3, n): up-up, up-down, down-down.

    Attributes
    ----------
    energy_density
        f: (n,) Hartree/bohr^3.
    rho
        df/drho: (n,) Hartree.
    sigma
        df/dsigma: (n,) Hartree bohr^5; zero for functionals that do not need the gradient.
    """

    energy_density: torch.Tensor
    rho: torch.Tensor
    sigma: torch.Tensor


@dataclass(frozen=True)
class Kernel:
    """Second derivatives of the energy per volume at points.

    Attributes
    ----------
    rho_rho, rho_sigma, sigma_sigma
        (n,); for spin densities (2, 2, n), (2, 3, n) and (3, 3, n).
    """

    rho_rho: torch.Tensor
    rho_sigma: torch.Tensor
    sigma_sigma: torch.Tensor


def potential(
    functional: Functional,
    rho: torch.Tensor,
    sigma: torch.Tensor | None = None,
    *,
    polarised: bool = False,
) -> Potential:
    """Energy per volume and first derivatives; derivatives of them can be taken in turn.

    Parameters
    ----------
    functional
        See :func:`~ase_rholearn.scf.functionals.functional`.
    rho
        Density (n,), or spin densities (2, n), e/bohr^3.
    sigma
        Square of the gradient (n,), or products of the spin densities' gradients (3, n).
    polarised
        Whether these are spin densities.

    Examples
    --------
    The Slater potential is 4/3 of the energy per electron:

    >>> from ase_rholearn.scf.functionals import functional
    >>> rho = torch.tensor([0.1, 0.2], dtype=torch.float64)
    >>> found = potential(functional("LDA,"), rho)
    >>> (found.rho * rho / found.energy_density).tolist()
    [1.3333333333333333, 1.3333333333333333]
    """
    sigma = _checked(functional, rho, sigma, polarised)

    def total(rho: torch.Tensor, sigma: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        values = _energy_density(functional, rho, sigma, polarised)
        return values.sum(), values

    (v_rho, v_sigma), values = grad(total, argnums=(0, 1), has_aux=True)(rho, sigma)
    return Potential(values, v_rho, v_sigma)


def kernel(
    functional: Functional,
    rho: torch.Tensor,
    sigma: torch.Tensor | None = None,
    *,
    polarised: bool = False,
) -> Kernel:
    """Second derivatives; parameters as for :func:`potential`."""
    sigma = _checked(functional, rho, sigma, polarised)

    def slopes(of: str, row: int) -> tuple[torch.Tensor, torch.Tensor]:
        def total(rho: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
            first = potential(functional, rho, sigma, polarised=polarised)
            # points do not see each other: the sum over them has their derivatives, one each
            return torch.atleast_2d(getattr(first, of))[row].sum()

        found: tuple[torch.Tensor, torch.Tensor] = grad(total, argnums=(0, 1))(rho, sigma)
        return found

    if not polarised:
        rho_rho, rho_sigma = slopes("rho", 0)
        return Kernel(rho_rho, rho_sigma, slopes("sigma", 0)[1])
    by_rho = [slopes("rho", row) for row in range(2)]
    by_sigma = [slopes("sigma", row)[1] for row in range(3)]
    return Kernel(
        torch.stack([one[0] for one in by_rho]),
        torch.stack([one[1] for one in by_rho]),
        torch.stack(by_sigma),
    )


def _energy_density(
    functional: Functional, rho: torch.Tensor, sigma: torch.Tensor, polarised: bool
) -> torch.Tensor:
    if polarised:
        return functional.spin_energy_density(rho, sigma)
    return functional.energy_density(rho, sigma)


def _checked(
    functional: Functional, rho: torch.Tensor, sigma: torch.Tensor | None, polarised: bool
) -> torch.Tensor:
    """Sigma, or zeros where it does not count."""
    if polarised and (rho.ndim != 2 or rho.shape[0] != 2):
        raise ValueError(f"rho has shape {tuple(rho.shape)}: give (2, n), spin up and down")
    if not polarised and rho.ndim != 1:
        raise ValueError(
            f"rho has shape {tuple(rho.shape)}: give (n,), or polarised=True for spin densities"
        )
    shape = (3, rho.shape[1]) if polarised else tuple(rho.shape)
    if sigma is None and not functional.needs_gradient:
        return rho.new_zeros(shape)
    if sigma is None or tuple(sigma.shape) != shape:
        found = None if sigma is None else tuple(sigma.shape)
        raise ValueError(f"sigma has shape {found}: {functional.name} needs {shape}")
    return sigma
