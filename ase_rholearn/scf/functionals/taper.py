"""Functionals that fade out smoothly where there is hardly any density. Atomic units."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from .forms import Functional


@dataclass(frozen=True)
class Tapered:
    """A functional times a switch that is 0 at no density and 1 from ``below`` on.

    The tails of fitted densities change sign, where exchange has an infinite second derivative
    and a cut-off makes energies jump. With the switch x^3 (10 - 15 x + 6 x^2), x = rho / below,
    the energy is twice continuously differentiable everywhere.

    Attributes
    ----------
    functional
        What is switched.
    below
        e/bohr^3. With 1e-5, exchange and correlation of PBE change by some 0.01 mHartree in a
        small molecule.

    Examples
    --------
    >>> from ase_rholearn.scf.functionals import functional
    >>> exchange = functional("LDA,")
    >>> rho = torch.tensor([-1e-4, 5e-6, 1e-5, 0.1], dtype=torch.float64)
    >>> (Tapered(exchange).energy_density(rho) / exchange.energy_density(rho))[1:].tolist()
    [0.5, 1.0, 1.0]
    """

    functional: Functional
    below: float = 1e-5

    def __post_init__(self) -> None:
        if not self.below > 0:
            raise ValueError(f"below is {self.below}: give a positive density in e/bohr^3")

    @property
    def name(self) -> str:
        """That of the functional, and where it is switched."""
        return f"{self.functional.name} tapered below {self.below:g}"

    @property
    def needs_gradient(self) -> bool:
        """Whether sigma counts."""
        return self.functional.needs_gradient

    def energy_density(self, rho: torch.Tensor, sigma: torch.Tensor | None = None) -> torch.Tensor:
        """See :class:`Functional`."""
        return self._switch(rho) * self.functional.energy_density(rho, sigma)

    def spin_energy_density(
        self, rho: torch.Tensor, sigma: torch.Tensor | None = None
    ) -> torch.Tensor:
        """See :class:`Functional`; what counts is the density of both spins."""
        return self._switch(rho.sum(dim=0)) * self.functional.spin_energy_density(rho, sigma)

    def _switch(self, rho: torch.Tensor) -> torch.Tensor:
        x = (rho / self.below).clamp(0, 1)
        return x**3 * (10 + x * (6 * x - 15))
