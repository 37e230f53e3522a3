"""Bands of a crystal from its density: one diagonalisation at each k-point."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms, units

from ...density import Density, Grid
from ..semilocal import check_semilocal
from .cell import build_cell, check_crystal
from .hamiltonian import CrystalHamiltonian, crystal_hamiltonian, mesh_shape
from .kpoints import KPoints, sampled
from .occupations import Occupations, band_gap, occupy

if TYPE_CHECKING:
    from ase.dft.kpoints import BandPath
    from ase.spectrum.band_structure import BandStructure
    from ase.spectrum.dosdata import GridDOSData

#: How far (Angstrom) the cell of a path may be from that of the crystal.
_SAME_CELL = 1e-6


@dataclass(frozen=True)
class OneShotCrystal:
    """What one diagonalisation gives for a crystal without magnetism.

    Attributes
    ----------
    atoms
        The structure.
    energy
        Harris-Foulkes energy of a cell, eV; extrapolated to no smearing.
    free_energy
        The same with the entropy of the smearing.
    kpts, weights
        Scaled k-points (nk, 3) of the sampling, one of k and -k, and their weights (nk,).
    orbital_energies
        eV: (nk, nbands). Zero has no meaning in a crystal; only differences do.
    orbitals
        Coefficients in PySCF's order: (nk, nao, nbands), complex.
    occupations
        Electrons in each band, 0 to 2: (nk, nbands).
    fermi_level
        eV; in the middle of the gap if there is one.
    hamiltonian
        What gives the energies at any other k-points.
    """

    atoms: Atoms
    energy: float
    free_energy: float
    kpts: np.ndarray
    weights: np.ndarray
    orbital_energies: np.ndarray
    orbitals: np.ndarray = field(repr=False)
    occupations: np.ndarray
    fermi_level: float
    hamiltonian: CrystalHamiltonian = field(repr=False)

    @property
    def cell(self) -> Any:
        """The ``pyscf.pbc.gto.Cell`` that the orbitals belong to."""
        return self.hamiltonian.cell

    @property
    def gap(self) -> float:
        """Lowest empty less highest occupied energy at the sampled k-points, eV; 0 for metals."""
        return band_gap(self.orbital_energies, self.cell.nelectron)

    def bands(self, kpts: Any) -> np.ndarray:
        """Orbital energies at any scaled k-points (n, 3): (n, nbands), eV."""
        points = np.asarray(kpts, dtype=float)
        if points.ndim != 2 or points.shape[1] != 3:
            raise ValueError(f"kpts has the shape {points.shape}: give scaled points (n, 3)")
        return self.hamiltonian.bands(points)[0] * units.Hartree

    def band_structure(
        self, path: BandPath | str | None = None, *, npoints: int = 60
    ) -> BandStructure:
        """Energies along a path through the Brillouin zone.

        Parameters
        ----------
        path
            ASE's ``BandPath`` for this cell, or a path such as ``"GXWLG"``; left out: the one that
            ASE recommends for the lattice.
        npoints
            Of a path that is made here.

        Returns
        -------
        ase.spectrum.band_structure.BandStructure
            Energies (1, npoints, nbands), eV; its reference is the Fermi level.
        """
        from ase.spectrum.band_structure import BandStructure

        made: Any = path
        if path is None or isinstance(path, str):
            made = self.atoms.cell.bandpath(path, npoints=npoints)
        if not np.allclose(made.cell.array, self.atoms.cell.array, rtol=0, atol=_SAME_CELL):
            raise ValueError(
                f"path belongs to the cell {made.cell.array.tolist()}, the crystal has "
                f"{self.atoms.cell.array.tolist()}: give atoms.cell.bandpath(...)"
            )
        return BandStructure(made, self.bands(made.kpts)[None], reference=self.fermi_level)

    def dos(
        self,
        *,
        width: float = 0.1,
        npts: int = 1000,
        kpts: KPoints | None = None,
        window: tuple[float, float] | None = None,
    ) -> GridDOSData:
        """Density of states: 1/eV a cell, both spins.

        Parameters
        ----------
        width
            Standard deviation of the Gaussian that stands for each state, eV.
        npts
            Energies at which it is given.
        kpts
            Sampling, as for :func:`one_shot_crystal`; left out: that of the energy. Smooth curves
            need many more points.
        window
            Lowest and highest energy, eV; left out: all states.

        Returns
        -------
        ase.spectrum.dosdata.GridDOSData
            Energies are absolute, not relative to the Fermi level.
        """
        from ase.spectrum.dosdata import RawDOSData

        if not width > 0:
            raise ValueError(f"width is {width}: give a positive energy in eV")
        energies, weights = self.orbital_energies, self.weights
        if kpts is not None:
            points, weights = sampled(kpts, self.atoms)
            energies = self.bands(points)
        low, high = window or (energies.min() - 5 * width, energies.max() + 5 * width)
        states = np.repeat(2 * weights, energies.shape[1])
        return RawDOSData(energies.ravel(), states).sample_grid(
            npts, xmin=low, xmax=high, width=width
        )

    def on_grid(self) -> Grid:
        """Density of the occupied orbitals, better than the one that they came from: e/Angstrom^3.

        On the uniform grid of the calculation; fit it with
        :func:`ase_rholearn.references.grid.fit_grid`.

        Raises
        ------
        ValueError
            The density is all-electron: no uniform grid resolves its cores.
        """
        if not self.cell._pseudo:
            raise ValueError(
                "the density is all-electron: no uniform grid resolves its cores; on_grid is for "
                "valence densities"
            )
        filled = self.occupations * self.weights[:, None]
        values = self.hamiltonian.density(self.kpts, self.orbitals, filled) / units.Bohr**3
        return Grid(
            values.reshape(mesh_shape(self.cell)), np.zeros(3), self.atoms.cell.array.copy()
        )


def one_shot_crystal(
    atoms: Atoms,
    density: Density,
    xc: str = "PBE",
    basis: Any = "gth-dzvp",
    *,
    kpts: KPoints = (1, 1, 1),
    smearing: float = 0.0,
    pseudo: str | None = None,
    shape: tuple[int, int, int] | None = None,
    grid_level: int = 3,
) -> OneShotCrystal:
    """Diagonalise the Kohn-Sham matrix of a crystal's density once, at k-points.

    Valence densities get the pseudopotentials of Goedecker, Teter and Hutter with the same number
    of valence electrons, all-electron ones point nuclei. Both spins see the same potential.

    Parameters
    ----------
    atoms
        Periodic in all directions, neutral, without magnetic moments.
    density
        Of these atoms. It is given the exact number of electrons: in a crystal the average of the
        Hartree potential does not see a wrong one.
    xc
        LDA or GGA functional in PySCF's notation.
    basis
        Orbital basis in PySCF's notation: ``"gth-..."`` for valence densities, an all-electron one
        such as ``"def2-svp"`` otherwise.
    kpts
        Three numbers of points about Gamma, scaled points (n, 3), or what ASE takes, such as
        ``{"density": 3.0}``.
    smearing
        Width of the Fermi-Dirac distribution, eV; 0.1 or so for metals, whose Fermi level
        otherwise depends on single states.
    pseudo
        Family of the pseudopotentials, such as ``"gth-blyp"``; left out: ``"gth-pade"`` for LDA,
        ``"gth-pbe"`` for GGA.
    shape
        Points of the uniform grid along each axis, for valence densities; left out: those that
        PySCF takes, which are many.
    grid_level
        PySCF's atom-centred quadrature, for all-electron densities.

    Raises
    ------
    ValueError
        Molecules and slabs, charged cells, magnetic moments, hybrids and meta-GGAs, a basis,
        functional or pseudopotential that PySCF does not have, an all-electron density with
        pseudopotentials, a density of another crystal.
    """
    from pyscf.dft import libxc

    check_crystal(atoms, density)
    check_semilocal(xc)
    points, weights = sampled(kpts, atoms)
    if not smearing >= 0:
        raise ValueError(f"smearing is {smearing}: give a width in eV, 0 or larger")
    cell = build_cell(atoms, density, basis, pseudo, libxc.xc_type(xc), shape)
    rho = Density(density.atoms, density.basis, density.raw_coefficients)
    hamiltonian = crystal_hamiltonian(cell, rho, xc, grid_level)
    energies, orbitals = hamiltonian.bands(points)
    width = smearing / units.Hartree
    filled = occupy(energies, weights, cell.nelectron, width)
    free = _free_energy(energies, weights, filled, hamiltonian.offset, width)
    return OneShotCrystal(
        atoms,
        # halfway between with and without the entropy: what no smearing would give
        float(free + 0.5 * width * filled.entropy) * units.Hartree,
        float(free) * units.Hartree,
        points,
        weights,
        energies * units.Hartree,
        orbitals,
        filled.values,
        filled.fermi_level * units.Hartree,
        hamiltonian,
    )


def _free_energy(
    energies: np.ndarray, weights: np.ndarray, filled: Occupations, offset: float, width: float
) -> float:
    """Harris-Foulkes energy less width times entropy, Hartree."""
    bands = weights @ (filled.values * energies).sum(axis=1)
    return float(bands + offset - width * filled.entropy)
