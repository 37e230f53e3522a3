"""Densities on grids: this package against PySCF's evaluation of the same functions.

One thread, the same points and coefficients, calls interleaved in one process, the minimum CPU
time counts. PySCF evaluates functions in blocks of points and multiplies by the coefficients:
all of them (``eval_gto``), or those that its screening leaves (``numint.eval_ao``). It gets a
part of the planes, which stands for all. Sections:

- ``molecules``: ethanol and benzene, 128^3 points, fitted densities.
- ``water``: 64 periodic waters, 96^3 points; PySCF takes the open cluster, without images.
- ``linear``: time per atom from 64 to 1024 waters at constant spacing.
- ``cells``: silicon and a hexagonal slab against orthogonal cells of the same volume.
- ``frames``: frames that are not one period, against the same points one by one.
- ``threads``: wall time of two threads against one; needs two idle cores.

Run, for all or some sections,

    python benchmarks/grid_speed.py molecules water
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from ase import Atoms, units
from ase.build import bulk, graphene, molecule
from ase.io import read
from pyscf import dft, gto, lib
from pyscf.dft import numint
from scipy.spatial.transform import Rotation

from ase_rholearn import Density
from ase_rholearn.basis import Basis, from_pyscf, to_pyscf_order
from ase_rholearn.density import Grid
from ase_rholearn.references.pyscf.integrals import auxiliary_molecule

#: Points that PySCF gets at once, and its own screening threshold.
BLOCK, CUTOFF = 20_000, 1e-10

#: e/bohr^3 in each term; errors are printed.
TOLERANCE = 1e-6

BASIS = "def2-universal-jkfit"


def fitted(name: str) -> Density:
    """A molecule's PBE density, fitted in the basis."""
    atoms = molecule(name)
    positions = (atoms.positions / units.Bohr).tolist()
    mole = gto.M(
        atom=list(zip(atoms.get_chemical_symbols(), positions, strict=True)),
        basis="def2-svp",
        unit="B",
        verbose=0,
    )
    field = dft.RKS(mole, xc="pbe").density_fit()
    field.grids.level = 0
    field.run()
    return Density.from_pyscf(field, basis_of(atoms))


def basis_of(atoms: Atoms) -> Basis:
    return from_pyscf(BASIS, sorted(set(atoms.get_chemical_symbols())))


def random_density(atoms: Atoms, basis: Basis | None = None) -> Density:
    basis = basis or basis_of(atoms)
    rng = np.random.default_rng(0)
    return Density(atoms, basis, 0.05 * rng.normal(size=basis.size(atoms.numbers)))


def cpu(function: Callable[[], np.ndarray]) -> tuple[float, np.ndarray]:
    start = time.process_time()
    result = function()
    return time.process_time() - start, result


def by_pyscf(density: Density, points: np.ndarray, *, screened: bool) -> np.ndarray:
    """The open cluster's expansion at points in Angstrom, in e/bohr^3."""
    auxiliary = auxiliary_molecule(density.atoms, density.basis)
    coefficients = to_pyscf_order(density.basis, density.atoms.numbers, density.coefficients)
    parts = []
    for start in range(0, len(points), BLOCK):
        block = points[start : start + BLOCK] / units.Bohr
        values = (
            numint.eval_ao(auxiliary, block, cutoff=CUTOFF)
            if screened
            else auxiliary.eval_gto("GTOval_sph", block)
        )
        parts.append(values @ coefficients)
    return np.concatenate(parts)


def against_pyscf(name: str, density: Density, n: int, planes: int, repeats: int) -> None:
    """Ratios to both of PySCF's ways."""
    shape = (n,) * 3
    chosen = np.arange(n // (2 * planes), n, n // planes)
    frame = density.on_grid(shape=shape, tolerance=TOLERANCE)  # warm up
    points = frame.points()[chosen].reshape(-1, 3)
    share = len(chosen) / n
    best = dict.fromkeys(("all", "screened", "here", "float32"), np.inf)
    for _ in range(repeats):
        for key, screened in (("all", False), ("screened", True)):
            seconds, expected = cpu(lambda s=screened: by_pyscf(density, points, screened=s))
            best[key] = min(best[key], seconds / share)
            if not screened:
                exact = expected
        for key, dtype in (("here", np.float64), ("float32", np.float32)):
            seconds, values = cpu(
                lambda d=dtype: density.on_grid(shape=shape, tolerance=TOLERANCE, dtype=d).values
            )
            best[key] = min(best[key], seconds)
            if key == "here":
                kept = values
    if density.atoms.pbc.any():
        # images are missing there: the error of the screening is against no screening here
        exact = density.on_grid(shape=shape).values[chosen].ravel() * units.Bohr**3
    error = np.abs(kept[chosen].ravel() * units.Bohr**3 - exact).max()
    print(
        f"{name:22} {n}^3  PySCF {best['all']:7.2f} s, screened {best['screened']:7.2f} s  "
        f"here {best['here']:.3f} s (float32 {best['float32']:.3f} s)  "
        f"ratios {best['all'] / best['here']:.0f} and {best['screened'] / best['here']:.0f}  "
        f"error {error:.1e} e/bohr^3"
    )


def water_box() -> Atoms:
    return read(Path(__file__).parents[1] / "examples" / "water-box.xyz")


def linear(repeats: int) -> None:
    """CPU time per atom of boxes side by side."""
    first = None
    for repeat in ((1, 1, 1), (2, 1, 1), (2, 2, 1), (2, 2, 2), (2, 2, 4)):
        density = random_density(water_box() * repeat)
        shape = tuple(64 * k for k in repeat)
        seconds = min(
            cpu(lambda d=density, s=shape: d.on_grid(shape=s, tolerance=TOLERANCE).values)[0]
            for _ in range(repeats)
        )
        per_atom = seconds / len(density.atoms)
        first = first or per_atom
        print(
            f"{len(density.atoms) // 3:5d} waters  {seconds:7.3f} s  "
            f"{1e3 * per_atom:.3f} ms an atom, {per_atom / first:.2f} of the first"
        )


def cells(repeats: int) -> None:
    """The same atoms in skew cells and in orthogonal ones of equal volume."""
    silicon = bulk("Si", "diamond", 5.43)
    cube = Atoms("Si2", silicon.positions, cell=[silicon.get_volume() ** (1 / 3)] * 3, pbc=True)
    slab = graphene(size=(2, 2, 1), vacuum=4.0)
    slab.pbc = (True, True, False)
    area = np.linalg.norm(np.cross(*slab.cell.array[:2])) ** 0.5
    square = Atoms(slab.numbers, slab.positions, cell=[area, area, slab.cell[2, 2]], pbc=slab.pbc)
    for name, skew, straight in (("silicon", silicon, cube), ("hexagonal slab", slab, square)):
        for shape in ((32, 32, 32), (64, 64, 64)):
            densities = [random_density(atoms) for atoms in (skew, straight)]
            best = [np.inf, np.inf]
            for _ in range(repeats):
                for k, density in enumerate(densities):
                    seconds, _ = cpu(
                        lambda d=density, s=shape: d.on_grid(shape=s, tolerance=TOLERANCE).values
                    )
                    best[k] = min(best[k], seconds)
            print(
                f"{name:15} {shape[0]}^3  {best[0]:.4f} s, orthogonal {best[1]:.4f} s: "
                f"{best[0] / best[1]:.1f} times as long"
            )


def frames(repeats: int) -> None:
    """Sub-boxes, a conventional cell, turned and skew boxes; points get some of the planes."""
    turn = Rotation.from_rotvec([0.3, 0.5, -0.2]).as_matrix()
    silicon = bulk("Si", "diamond", 5.43)
    fcc, cube = silicon.cell.array, 5.43 * np.eye(3)
    skew = np.array([[8.0, 0, 0], [2.0, 8.0, 0], [1.0, 2.0, 8.0]])
    benzene = molecule("C6H6")
    cases = {
        "silicon, conventional cell": (silicon, cube),
        "silicon, part of the cell": (silicon, 0.7 * fcc),
        "silicon, 2 x 2 x 2 cells": (silicon, 2 * fcc),
        "silicon, straight box": (silicon, 0.7 * cube),
        "silicon, turned box": (silicon, cube @ turn),
        "benzene, turned box": (benzene, 8 * turn),
        "benzene, skew box": (benzene, skew),
    }
    for name, (atoms, cell) in cases.items():
        density = random_density(atoms)
        frame = Grid(np.zeros((64, 64, 64)), atoms.positions.mean(axis=0) - cell.sum(0) / 2, cell)
        points = frame.points()[::16].reshape(-1, 3)
        best = [np.inf, np.inf]
        for _ in range(repeats):
            for k, evaluate in enumerate(
                (
                    lambda d=density, f=frame: d.on_frame(f, tolerance=TOLERANCE).values,
                    lambda d=density, p=points: d.evaluate(p, tolerance=TOLERANCE),
                )
            ):
                best[k] = min(best[k], cpu(evaluate)[0])
        print(
            f"{name:27} 64^3  {best[0]:.3f} s, point by point {16 * best[1]:6.2f} s: "
            f"ratio {16 * best[1] / best[0]:.0f}"
        )


def threads(repeats: int) -> None:
    """Wall times."""
    for name, density, n in (
        ("64 waters, periodic", random_density(water_box()), 128),
        ("benzene", random_density(molecule("C6H6")), 192),
        ("silicon", random_density(bulk("Si", "diamond", 5.43)), 96),
    ):
        best = {1: np.inf, 2: np.inf}
        for _ in range(repeats):
            for count in best:
                torch.set_num_threads(count)
                start = time.perf_counter()
                density.on_grid(shape=(n,) * 3, tolerance=TOLERANCE)
                best[count] = min(best[count], time.perf_counter() - start)
        torch.set_num_threads(1)
        print(f"{name:20} {n}^3  {best[1]:.3f} s, two threads {best[2]:.3f} s")


def main() -> None:
    names = ("molecules", "water", "linear", "cells", "frames", "threads")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sections", nargs="*", default=names, help=", ".join(names))
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    lib.num_threads(1)
    repeats = arguments.repeats
    if "molecules" in arguments.sections:
        for name in ("CH3CH2OH", "C6H6"):
            against_pyscf(name, fitted(name), 128, 8, repeats)
    if "water" in arguments.sections:
        against_pyscf("64 waters, periodic", random_density(water_box()), 96, 2, repeats)
    if "linear" in arguments.sections:
        linear(repeats)
    if "cells" in arguments.sections:
        cells(repeats)
    if "frames" in arguments.sections:
        frames(repeats)
    if "threads" in arguments.sections:
        threads(repeats)


if __name__ == "__main__":
    main()
