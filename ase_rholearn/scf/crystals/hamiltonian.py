"""The Kohn-Sham matrix of a density at any k-points. Atomic units.

With pseudopotentials (GTH: S. Goedecker, M. Teter and J. Hutter, Phys. Rev. B 54, 1703 (1996)) all
that is local, Hartree potential included, is a field on a uniform grid, as in plane-wave codes;
with all electrons the potential of nuclei and electrons comes in closed form at atom-centred
points. Kinetic energy and the nonlocal projectors are integrals in closed form.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import units
from scipy.linalg import eigh

from ...density import Density
from ..field_matrix import field_matrix
from .exchange_correlation import LocalExchangeCorrelation

#: Numbers that the orbital basis at some points and k-points may take at once (256 MB).
_TEMPORARY = 2**24

#: Smallest eigenvalue of an overlap matrix with which orbitals can be trusted.
_DEPENDENT = 1e-9


@dataclass(frozen=True)
class CrystalHamiltonian:
    """F(k) = T + V_nonlocal(k) + fields, and what makes an energy of its eigenvalues.

    Attributes
    ----------
    cell
        ``pyscf.pbc.gto.Cell``.
    points
        Of the quadrature: (n, 3) bohr.
    fields
        Local potential, and for a GGA the vector that multiplies slopes, times the weights of the
        points: (1 or 4, n), Hartree.
    offset
        Harris energy less the sum of occupied orbital energies, Hartree a cell.
    """

    cell: Any
    points: np.ndarray
    fields: np.ndarray
    offset: float

    def bands(self, kpts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Energies (nk, nao), Hartree, and orbitals (nk, nao, nao) at scaled k-points (nk, 3).

        Raises
        ------
        ValueError
            The orbital basis is linearly dependent in this crystal.
        """
        absolute = self.cell.get_abs_kpts(kpts)
        overlaps = np.asarray(self.cell.pbc_intor("int1e_ovlp", hermi=1, kpts=absolute))
        smallest = min(float(np.linalg.eigvalsh(overlap)[0]) for overlap in overlaps)
        if smallest < _DEPENDENT:
            raise ValueError(
                f"the orbital basis is linearly dependent in this crystal (smallest eigenvalue of "
                f"the overlap matrix {smallest:.1e}): give a basis without diffuse functions"
            )
        matrices = self._closed_form(absolute)
        for block, values in self.orbital_values(absolute, slopes=len(self.fields) > 1):
            for k, functions in enumerate(values):
                matrices[k] += field_matrix(functions, self.fields[:, block])
        solved = [eigh(f, s) for f, s in zip(matrices, overlaps, strict=True)]
        return np.array([e for e, _ in solved]), np.array([c for _, c in solved])

    def density(
        self, kpts: np.ndarray, orbitals: np.ndarray, occupations: np.ndarray
    ) -> np.ndarray:
        """Sum of occupied orbitals' squares at the points: (n,) e/bohr^3.

        ``occupations`` (nk, nao) contain the weights of the k-points.
        """
        total = np.zeros(len(self.points))
        for block, values in self.orbital_values(self.cell.get_abs_kpts(kpts), slopes=False):
            for functions, c, f in zip(values, orbitals, occupations, strict=True):
                filled = f > 0
                amplitudes = functions[0] @ (c[:, filled] * np.sqrt(f[filled]))
                total[block] += np.square(np.abs(amplitudes)).sum(axis=1)
        return total

    def orbital_values(
        self, absolute: np.ndarray, *, slopes: bool
    ) -> Iterator[tuple[slice, list[np.ndarray]]]:
        """Bloch functions in blocks of points, at k-points in 1/bohr: of each (1 or 4, n, nao)."""
        rows = 4 if slopes else 1
        size = max(1, _TEMPORARY // (len(absolute) * rows * self.cell.nao))
        name = "GTOval_sph_deriv1" if slopes else "GTOval_sph"
        for start in range(0, len(self.points), size):
            block = slice(start, start + size)
            values = self.cell.pbc_eval_gto(name, self.points[block], kpts=absolute)
            yield block, [v.reshape(rows, -1, self.cell.nao) for v in values]

    def _closed_form(self, absolute: np.ndarray) -> np.ndarray:
        """Kinetic energy, and the projectors of pseudopotentials: (nk, nao, nao)."""
        kinetic = self.cell.pbc_intor("int1e_kin", hermi=1, kpts=absolute)
        matrices = np.array(kinetic, dtype=complex)
        if self.cell._pseudo:
            from pyscf.pbc.gto.pseudo.pp_int import get_pp_nl

            matrices += np.asarray(get_pp_nl(self.cell, absolute))
        return matrices


def crystal_hamiltonian(
    cell: Any, density: Density, xc: str, grid_level: int
) -> CrystalHamiltonian:
    """The Kohn-Sham Hamiltonian of a density.

    Parameters
    ----------
    cell
        See :func:`~ase_rholearn.scf.crystals.cell.build_cell`; of the kind of the density.
    density
        Neutral.
    xc
        LDA or GGA functional in PySCF's notation.
    grid_level
        PySCF's atom-centred quadrature, for all electrons.
    """
    if density.basis.kind == "valence":
        return _with_pseudopotentials(cell, density, xc)
    return _with_all_electrons(cell, density, xc, grid_level)


def mesh_shape(cell: Any) -> tuple[int, int, int]:
    """Points of the uniform grid of PySCF's cell along each axis."""
    nx, ny, nz = (int(n) for n in cell.mesh)
    return nx, ny, nz


def _with_pseudopotentials(cell: Any, density: Density, xc: str) -> CrystalHamiltonian:
    from pyscf.pbc.dft.gen_grid import UniformGrids

    grids = UniformGrids(cell)
    frame = density.frame(shape=mesh_shape(cell))
    points = frame.points().reshape(-1, 3) / units.Bohr
    found = LocalExchangeCorrelation.of(density, points, grids.weights, xc)
    return mesh_hamiltonian(cell, points, grids.weights, found)


def mesh_hamiltonian(
    cell: Any, points: np.ndarray, weights: np.ndarray, found: LocalExchangeCorrelation
) -> CrystalHamiltonian:
    """That of a density on PySCF's uniform grid."""
    from pyscf.pbc import tools
    from pyscf.pbc.gto.pseudo import get_vlocG

    hartree = tools.ifft(
        tools.get_coulG(cell, mesh=cell.mesh) * tools.fft(found.rho[0], cell.mesh), cell.mesh
    ).real
    # a transform that is not divided by the volume: its inverse has the weights in it already
    local = -np.einsum("ag,ag->g", cell.get_SI(mesh=cell.mesh), get_vlocG(cell))
    fields = found.fields.copy()
    fields[0] += weights * hartree + tools.ifft(local, cell.mesh).real
    double_counting = 0.5 * float((weights * hartree) @ found.rho[0]) + found.potential_energy
    offset = float(cell.ewald()) + found.energy - double_counting
    return CrystalHamiltonian(cell, points, fields, offset)


def _with_all_electrons(cell: Any, density: Density, xc: str, level: int) -> CrystalHamiltonian:
    from pyscf.pbc.dft.gen_grid import BeckeGrids

    grids = BeckeGrids(cell)
    grids.level = level
    grids.build()
    points, weights = grids.coords, grids.weights
    found = LocalExchangeCorrelation.of(density, points, weights, xc)
    # potential energy of an electron among nuclei and electrons
    electrostatic = weights * -density.potential(points * units.Bohr) / units.Hartree
    fields = found.fields.copy()
    fields[0] += electrostatic
    double_counting = float(electrostatic @ found.rho[0]) + found.potential_energy
    offset = density.electrostatic_energy() / units.Hartree + found.energy - double_counting
    return CrystalHamiltonian(cell, points, fields, offset)
