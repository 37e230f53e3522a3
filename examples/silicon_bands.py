"""Bands and density of states of silicon from a density, beside the self-consistent ones.

PySCF computes silicon once; its density on a grid is fitted, as that of any plane-wave code would
be. One diagonalisation of the Kohn-Sham matrix of the fit gives orbital energies at any k-point.
Takes a minute or two; the picture goes to ``bands-output``. Run

    python examples/silicon_bands.py
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.build import bulk
from ase.spectrum.band_structure import BandStructure
from ase.spectrum.dosdata import GridDOSData
from matplotlib.figure import Figure
from pyscf.pbc import dft, gto

from ase_rholearn import Density
from ase_rholearn.density import Grid
from ase_rholearn.references.grid import GridDensity, fit_grid, grid_basis
from ase_rholearn.scf import one_shot_crystal

OUTPUT = Path("bands-output")

KPTS, SHAPE = (2, 2, 2), (20, 20, 20)


def self_consistent(atoms: Atoms, basis: str) -> Any:
    """PySCF's calculation, with the pseudopotentials that the fit knows of."""
    geometry = [(a.symbol, a.position / units.Bohr) for a in atoms]
    vectors = atoms.cell.array / units.Bohr
    cell = gto.Cell(atom=geometry, a=vectors, unit="B", basis=basis, pseudo="gth-pbe", verbose=0)
    cell.mesh = np.array(SHAPE)
    cell.build()
    mf = dft.KRKS(cell, cell.make_kpts(KPTS), xc="PBE")
    mf.chkfile = mf._chkfile = None  # no file of this run is wanted
    mf.kernel()
    return mf


def fit(atoms: Atoms, mf: Any) -> Density:
    """The density on the grid in atom-centred functions."""
    values = mf.get_rho().reshape(SHAPE) / units.Bohr**3
    grid = Grid(values, np.zeros(3), atoms.cell.array)
    rho = GridDensity(atoms, grid, "valence", {"Si": 4})
    basis = grid_basis(rho, largest=4.0)
    reference = fit_grid(rho, basis)
    print(f"error of the fit                {reference.fit['nmae']:.3f} %")
    return Density(atoms, basis, reference.coefficients)


def plot(one: BandStructure, scf: BandStructure, dos: GridDOSData, path: Path) -> None:
    """Both band structures in one, their difference below, states on the right."""
    figure = Figure(figsize=(7.6, 5.2), layout="constrained")
    grid = figure.add_gridspec(2, 2, width_ratios=(3, 1), height_ratios=(3, 1))
    top, right, low = (figure.add_subplot(grid[i]) for i in ((0, 0), (0, 1), (1, 0)))
    x, ticks, labels = one.path.get_linear_kpoint_axis()
    here, there = (bands.energies[0, :, :10] - bands.reference for bands in (one, scf))
    top.plot(x, here, color="tab:blue", lw=1.6)
    top.plot(x, there, color="k", lw=0, marker=".", ms=3)
    top.plot([], [], color="tab:blue", label="one diagonalisation, fitted density")
    top.plot([], [], color="k", lw=0, marker=".", label="self-consistent")
    top.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False, fontsize=9)
    top.set(ylabel="energy / eV", ylim=(-13, 8), xticklabels=[])
    low.plot(x, 1000 * (here - there), color="tab:blue", lw=0.8)
    low.set(ylabel="difference / meV")
    for ax in (top, low):
        ax.set(xlim=(x[0], x[-1]), xticks=ticks)
        for tick in ticks:
            ax.axvline(tick, color="0.8", lw=0.6, zorder=0)
    top.axhline(0, color="0.6", lw=0.6, ls="--")
    low.set_xticklabels([r"$\Gamma$" if label == "G" else label for label in labels])
    energies = dos.get_energies() - one.reference
    right.fill_betweenx(energies, dos.get_weights(), color="tab:blue", alpha=0.35)
    right.set(ylim=top.get_ylim(), xlim=(0, None), yticklabels=[], xlabel="states / eV$^{-1}$")
    figure.savefig(path, dpi=130)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--basis", default="gth-dzvp", help="orbitals of both calculations")
    parser.add_argument("--npoints", type=int, default=40, help="k-points along the path")
    parser.add_argument("--dos", type=int, default=6, help="k-points along each axis for states")
    arguments = parser.parse_args()
    OUTPUT.mkdir(exist_ok=True)
    atoms = bulk("Si", a=5.43)
    mf = self_consistent(atoms, arguments.basis)
    found = one_shot_crystal(atoms, fit(atoms, mf), "PBE", arguments.basis, kpts=KPTS, shape=SHAPE)
    one = found.band_structure("LGXWG", npoints=arguments.npoints)
    absolute = mf.cell.get_abs_kpts(one.path.kpts)
    energies = np.array(mf.get_bands(absolute)[0])[None] * units.Hartree
    scf = BandStructure(one.path, energies, reference=found.fermi_level)
    worst = 1000 * np.abs(one.energies - scf.energies)[0, :, :8].max()
    print(f"largest error of eight bands    {worst:.1f} meV")
    energy = 1000 * (found.energy - mf.e_tot * units.Hartree)
    print(f"error of the energy             {energy:.2f} meV")
    print(f"gap at these k-points           {found.gap:.2f} eV")
    dos = found.dos(
        kpts=(arguments.dos,) * 3, width=0.15, window=(one.reference - 13, one.reference + 8)
    )
    plot(one, scf, dos, OUTPUT / "silicon.png")


if __name__ == "__main__":
    main()
