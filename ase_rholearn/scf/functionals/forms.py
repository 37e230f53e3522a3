"""What all functionals have in common, and the three forms that they are made of. Atomic units.

A functional here is local or semilocal: its energy is the integral of an energy per volume,
which is a function of the density and, for some, of its gradient at the same point,

    E = int f(rho, sigma) dr,    sigma = |grad rho|^2.

Below :data:`VACUUM`, and for negative densities, which fits have in their tails, f and all its
derivatives are zero; nowhere is any of them infinite or not a number.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch

#: Density (e/bohr^3) below which every functional is zero.
VACUUM = 1e-12

#: How close the polarisation comes to its ends, where functions of it have infinite slopes.
_FULL_POLARISATION = 1 - 1e-12


class Functional(Protocol):
    """A local or semilocal energy functional of the density."""

    @property
    def name(self) -> str:
        """PySCF's name, if it has one."""
        ...

    @property
    def needs_gradient(self) -> bool:
        """Whether sigma counts."""
        ...

    def energy_density(self, rho: torch.Tensor, sigma: torch.Tensor | None = None) -> torch.Tensor:
        """Energy per volume of a closed shell: Hartree/bohr^3, of the shape of rho.

        Parameters
        ----------
        rho
            Density of all electrons, e/bohr^3: any shape.
        sigma
            Square of the length of its gradient, e^2/bohr^8; not needed by all functionals.
        """
        ...

    def spin_energy_density(
        self, rho: torch.Tensor, sigma: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Energy per volume of spin densities: Hartree/bohr^3, shape (...).

        Parameters
        ----------
        rho
            Densities of spin up and down: (2, ...).
        sigma
            Products of their gradients, up-up, up-down and down-down: (3, ...).
        """
        ...


@dataclass(frozen=True)
class SpinScaled:
    """A functional in which the two spins do not see each other, as in exchange.

    E[up, down] = (E[2 up] + E[2 down]) / 2: G. L. Oliver and J. P. Perdew, Phys. Rev. A 20,
    397 (1979), for kinetic energies too.

    Attributes
    ----------
    name, needs_gradient
        See :class:`Functional`.
    formula
        f(rho, sigma) of a closed shell, for densities above the vacuum's; a formula that does
        not need sigma gets zeros.
    """

    name: str
    needs_gradient: bool
    formula: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

    def energy_density(self, rho: torch.Tensor, sigma: torch.Tensor | None = None) -> torch.Tensor:
        """See :class:`Functional`."""
        sigma = _checked_sigma(self, rho, sigma)
        inside = rho > VACUUM
        # the vacuum is replaced by a harmless density first: 0 times an infinite slope is NaN
        value = self.formula(torch.where(inside, rho, 1.0), torch.where(inside, sigma, 0.0))
        return torch.where(inside, value, 0.0)

    def spin_energy_density(
        self, rho: torch.Tensor, sigma: torch.Tensor | None = None
    ) -> torch.Tensor:
        """See :class:`Functional`."""
        same = None if sigma is None else 4 * torch.stack([sigma[0], sigma[2]])
        return 0.5 * self.energy_density(2 * rho, same).sum(dim=0)


@dataclass(frozen=True)
class SpinDependent:
    """A functional of the density, its polarisation and its gradient, as correlation is.

    Attributes
    ----------
    name, needs_gradient
        See :class:`Functional`.
    formula
        f(rho, zeta, sigma) with zeta = (up - down) / (up + down), which is None for a closed
        shell, and sigma that of the density of both spins; for densities above the vacuum's.
    """

    name: str
    needs_gradient: bool
    formula: Callable[[torch.Tensor, torch.Tensor | None, torch.Tensor], torch.Tensor]

    def energy_density(self, rho: torch.Tensor, sigma: torch.Tensor | None = None) -> torch.Tensor:
        """See :class:`Functional`."""
        return self._energy_density(rho, None, _checked_sigma(self, rho, sigma))

    def spin_energy_density(
        self, rho: torch.Tensor, sigma: torch.Tensor | None = None
    ) -> torch.Tensor:
        """See :class:`Functional`."""
        total = None if sigma is None else sigma[0] + 2 * sigma[1] + sigma[2]
        both = rho.sum(dim=0)
        return self._energy_density(both, rho[0] - rho[1], _checked_sigma(self, both, total))

    def _energy_density(
        self, rho: torch.Tensor, excess: torch.Tensor | None, sigma: torch.Tensor
    ) -> torch.Tensor:
        inside = rho > VACUUM
        rho, sigma = torch.where(inside, rho, 1.0), torch.where(inside, sigma, 0.0)
        zeta = None
        if excess is not None:
            zeta = torch.where(inside, excess, 0.0) / rho
            zeta = zeta.clamp(-_FULL_POLARISATION, _FULL_POLARISATION)
        return torch.where(inside, self.formula(rho, zeta, sigma), 0.0)


@dataclass(frozen=True)
class Sum:
    """The sum of functionals, such as exchange and correlation."""

    name: str
    parts: tuple[Functional, ...]

    @property
    def needs_gradient(self) -> bool:
        """Whether sigma counts."""
        return any(part.needs_gradient for part in self.parts)

    def energy_density(self, rho: torch.Tensor, sigma: torch.Tensor | None = None) -> torch.Tensor:
        """See :class:`Functional`."""
        return torch.stack([part.energy_density(rho, sigma) for part in self.parts]).sum(dim=0)

    def spin_energy_density(
        self, rho: torch.Tensor, sigma: torch.Tensor | None = None
    ) -> torch.Tensor:
        """See :class:`Functional`."""
        return torch.stack([part.spin_energy_density(rho, sigma) for part in self.parts]).sum(dim=0)


def _checked_sigma(
    functional: Functional, rho: torch.Tensor, sigma: torch.Tensor | None
) -> torch.Tensor:
    if functional.needs_gradient and sigma is None:
        raise ValueError(
            f"sigma is None, but {functional.name} needs it: give the square of the density's "
            "gradient"
        )
    return torch.zeros_like(rho) if sigma is None or not functional.needs_gradient else sigma
