"""The Harris energy as a potential energy of nuclei: options, energies and forces."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Protocol

import numpy as np
from ase import Atoms

from ..basis import Basis
from ..density import Density
from ..extras import needs
from ..references.pyscf.molecule import check_molecule
from .coulomb import COULOMB_BASIS
from .harris import harris_gradient
from .one_shot import OneShot, one_shot
from .semilocal import check_semilocal


class Response(Protocol):
    """Coefficients of a density, and how they change with positions."""

    @property
    def coefficients(self) -> np.ndarray:
        """Flat vector: (size,) e/bohr^1.5."""

    def pull_back(self, cotangent: np.ndarray) -> np.ndarray:
        """Derivatives of cotangent times coefficients by the positions: (natoms, 3)."""


@dataclass(frozen=True)
class HarrisOptions:
    """Level of theory of the one diagonalisation, see :func:`~ase_rholearn.scf.one_shot`.

    Attributes
    ----------
    xc
        LDA or GGA functional in PySCF's notation.
    basis
        Orbital basis in PySCF's notation.
    grid_level
        PySCF's quadrature grid, 0 to 9.
    coulomb_basis
        Density-fitting basis for Coulomb integrals; None: without a fit.
    """

    xc: str = "PBE"
    basis: Any = "def2-svp"
    grid_level: int = 3
    coulomb_basis: str | None = COULOMB_BASIS

    def __post_init__(self) -> None:
        with needs("pyscf", "pyscf"):
            check_semilocal(self.xc)
        if not (isinstance(self.grid_level, int) and 0 <= self.grid_level <= 9):
            raise ValueError(f"grid_level is {self.grid_level!r}: give 0 to 9")

    @classmethod
    def of(cls, level: Mapping[str, Any], given: Mapping[str, Any] | None = None) -> HarrisOptions:
        """Those of a model's references, as its card has them, with some replaced.

        Examples
        --------
        >>> HarrisOptions.of({"xc": "PBE", "orbital_basis": "def2-tzvp"}, {"basis": "def2-svp"})
        HarrisOptions(xc='PBE', basis='def2-svp', grid_level=3, coulomb_basis='def2-universal-jfit')
        """
        known = [field.name for field in fields(cls)]
        given = dict(given or {})
        unknown = sorted(set(given) - set(known))
        if unknown:
            raise ValueError(f"energy_options has {unknown}: it may have {', '.join(known)}")
        names = {"xc": "xc", "orbital_basis": "basis", "grid_level": "grid_level"}
        found = {new: level[old] for old, new in names.items() if old in level}
        return cls(**{**found, **given})

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


@dataclass(frozen=True)
class HarrisEnergy:
    """Energies of structures whose coefficients somebody predicts.

    Attributes
    ----------
    basis
        Auxiliary basis of the coefficients.
    options
        Level of theory.
    """

    basis: Basis
    options: HarrisOptions

    def one_shot(self, atoms: Atoms, response: Response) -> OneShot:
        """Energy and orbitals of a closed-shell molecule; anything else is refused."""
        check_molecule(atoms)
        density = Density(atoms, self.basis, response.coefficients, normalize=False)
        return one_shot(
            atoms,
            density,
            self.options.xc,
            self.options.basis,
            grid_level=self.options.grid_level,
            coulomb_basis=self.options.coulomb_basis,
        )

    def forces(self, found: OneShot, response: Response) -> np.ndarray:
        """Minus the gradient of the energy, with the response of the density: (natoms, 3)."""
        gradient = harris_gradient(found)
        return -gradient.positions - response.pull_back(gradient.coefficients)
