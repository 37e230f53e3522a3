"""Densities of numerical radial functions on grids, against Gaussians here and in PySCF.

A Gaussian basis is sampled on a mesh like FHI-aims', so that tables and Gaussians are the same
functions with the same coefficients. One thread, CPU time, the minimum of interleaved runs in
one process; PySCF gets a part of the planes, as in ``grid_speed.py``. Sections:

- ``molecules``: ethanol, 128^3 points.
- ``periodic``: 8 waters in a skew cell, 64^3 points; Gaussians here only.
- ``accuracy``: errors of value, gradient and Laplacian for meshes of different density.

Run, for all or some sections,

    python benchmarks/numerical_grid.py molecules
"""

import argparse

import numpy as np
import torch
from ase import units
from ase.build import molecule
from grid_speed import by_pyscf, cpu, random_density, water_box
from pyscf import lib

from ase_rholearn import Basis, Density
from ase_rholearn.basis import NumericalShell

#: Ratio of neighbouring radii of FHI-aims' meshes, and where the tables end, bohr.
RATIO, END = 1.0123, 10.0

#: e/bohr^3 in each term.
TOLERANCE = 1e-6


def sampled(basis: Basis, ratio: float = RATIO) -> Basis:
    """Tables of the functions that end before ``END``; wider ones are narrowed."""
    r = np.geomspace(1e-4, END, round(np.log(END / 1e-4) / np.log(ratio)))
    # falls to zero with all derivatives that a spline knows
    end = np.exp(-((r / (0.75 * END)) ** 16))
    shells = {
        z: tuple(NumericalShell(s.l, r, s.radial(r) * end) for s in shells)
        for z, shells in basis.shells.items()
    }
    return Basis(shells)


def pair(density: Density) -> tuple[Density, Density]:
    """The density in Gaussians and in tables."""
    table = sampled(density.basis)
    return density, Density(density.atoms, table, density.raw_coefficients, normalize=False)


def molecules(repeats: int, n: int = 128, planes: int = 8) -> None:
    gaussian, table = pair(random_density(molecule("CH3CH2OH")))
    shape = (n,) * 3
    chosen = np.arange(n // (2 * planes), n, n // planes)
    points = gaussian.on_grid(shape=shape, tolerance=TOLERANCE).points()[chosen].reshape(-1, 3)
    best = dict.fromkeys(("all", "screened", "gaussian", "table"), np.inf)
    for _ in range(repeats):
        for key, screened in (("all", False), ("screened", True)):
            seconds, _ = cpu(lambda s=screened: by_pyscf(gaussian, points, screened=s))
            best[key] = min(best[key], seconds * n / planes)
        for key, rho in (("gaussian", gaussian), ("table", table)):
            seconds, values = cpu(lambda d=rho: d.on_grid(shape=shape, tolerance=TOLERANCE).values)
            best[key] = min(best[key], seconds)
    error = np.abs(values[chosen].ravel() - table.evaluate(points)).max() * units.Bohr**3
    size = table.basis.size(table.atoms.numbers)
    print(
        f"ethanol, {size} functions, {n}^3: PySCF (Gaussians) {best['all']:.2f} s, screened "
        f"{best['screened']:.2f} s; tables here {best['table']:.2f} s: ratios "
        f"{best['all'] / best['table']:.1f} and {best['screened'] / best['table']:.1f}; "
        f"Gaussians here {best['gaussian']:.2f} s; error {error:.1e} e/bohr^3"
    )


def periodic(repeats: int) -> None:
    box = water_box()
    atoms = box[np.flatnonzero((box.positions < 6.2).all(axis=1))][:24]
    atoms.set_cell([[6.2, 0, 0], [1.5, 6.2, 0], [0.5, 1.0, 6.2]])
    best = [np.inf, np.inf]
    for _ in range(repeats):
        for k, rho in enumerate(pair(random_density(atoms))):
            seconds, _ = cpu(
                lambda d=rho: d.on_grid(shape=(64, 64, 64), tolerance=TOLERANCE).values
            )
            best[k] = min(best[k], seconds)
    print(f"{len(atoms)} atoms, skew cell, 64^3: tables {best[1]:.2f} s, Gaussians {best[0]:.2f} s")


def accuracy() -> None:
    """Largest errors over the largest values, for one function of each l."""
    x = np.linspace(0.0, 8.0, 20001)
    for ratio in (1.05, 1.025, RATIO, 1.005):
        errors = np.zeros(3)
        for l in range(5):
            basis = Basis.from_shells({"H": [(l, [1.0])]})
            shell = basis.shells[1][0]
            r = np.geomspace(1e-4, 12.0, round(np.log(12.0 / 1e-4) / np.log(ratio)))
            table = NumericalShell(l, r, shell.radial(r))
            g = shell.coefficients[0] * np.exp(-x * x)
            exact = (
                x**l * g,
                (l * x ** max(l - 1, 0) - 2 * x ** (l + 1)) * g,
                (l * (l - 1) * x ** max(l - 2, 0) - (4 * l + 2) * x**l + 4 * x ** (l + 2)) * g,
            )
            for order, expected in enumerate(exact):
                error = np.abs(table.radial(x, order) - expected).max() / np.abs(expected).max()
                errors[order] = max(errors[order], error)
        print(
            f"ratio {ratio}: value {errors[0]:.0e}, slope {errors[1]:.0e}, second {errors[2]:.0e}"
        )


def main() -> None:
    names = ("molecules", "periodic", "accuracy")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sections", nargs="*", default=names, help=", ".join(names))
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    lib.num_threads(1)
    if "molecules" in arguments.sections:
        molecules(arguments.repeats)
    if "periodic" in arguments.sections:
        periodic(arguments.repeats)
    if "accuracy" in arguments.sections:
        accuracy()


if __name__ == "__main__":
    main()
