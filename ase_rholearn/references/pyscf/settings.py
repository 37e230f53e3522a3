"""What defines a PySCF reference calculation."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal


def check_functional(xc: str) -> None:
    """Raise a ValueError if PySCF does not know the functional."""
    from pyscf.dft import libxc

    try:
        libxc.parse_xc(xc)
    except (KeyError, ValueError, IndexError) as error:
        raise ValueError(
            f"xc is {xc!r}, which PySCF does not know: give a functional such as 'PBE'"
        ) from error


@dataclass(frozen=True)
class KohnSham:
    """Settings of a closed-shell Kohn-Sham run and of the fit to its density.

    Attributes
    ----------
    xc
        Functional, in PySCF's notation.
    orbital_basis
        AO basis (a PySCF name). Bases with effective core potentials are refused.
    density_fit
        Density-fitted Coulomb integrals in the SCF: faster, 1e-5 Hartree an atom.
    grid_level
        PySCF's quadrature grid, 0 to 9.
    conv_tol
        SCF convergence in Hartree.
    max_cycle
        SCF cycles before the run counts as not converged.
    forces
        Compute forces too (with the response of the grid).
    metric
        Metric of the fit of the auxiliary basis.
    """

    xc: str = "PBE"
    orbital_basis: str = "def2-tzvp"
    density_fit: bool = True
    grid_level: int = 3
    conv_tol: float = 1e-9
    max_cycle: int = 100
    forces: bool = True
    metric: Literal["coulomb", "overlap"] = "coulomb"

    def __post_init__(self) -> None:
        if self.metric not in ("coulomb", "overlap"):
            raise ValueError(f'metric is {self.metric!r}: give "coulomb" or "overlap"')
        if not 0 <= self.grid_level <= 9:
            raise ValueError(f"grid_level is {self.grid_level}: give 0 to 9")
        if not 0 < self.conv_tol < 1e-2:
            raise ValueError(f"conv_tol is {self.conv_tol}: give a small energy in Hartree")
        if self.max_cycle < 1:
            raise ValueError(f"max_cycle is {self.max_cycle}: give 1 or more")
        check_functional(self.xc)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, with the name of the code."""
        return {"code": "pyscf", "method": "rks", **asdict(self)}
