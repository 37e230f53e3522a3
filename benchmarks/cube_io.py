"""Cube files: this package against ASE.

One thread, one process, calls interleaved; the minimum CPU time counts, and the ratios are of
times of the same run. The densities are those of random coefficients in the recipe's basis
around a molecule, and random numbers of all sizes. The files are compared: each is read by the
other reader too. Run

    python benchmarks/cube_io.py
"""

import argparse
import io
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from ase import Atoms, units
from ase.build import molecule
from ase.io.cube import read_cube as ase_read_cube
from ase.io.cube import write_cube as ase_write_cube

from ase_rholearn import Density
from ase_rholearn.basis import even_tempered
from ase_rholearn.density import Grid, read_cube, write_cube


def grids(n: int) -> dict[str, tuple[Atoms, Grid]]:
    rng = np.random.default_rng(0)
    atoms = molecule("CH3CH2OH")
    basis = even_tempered(["C", "H", "O"])
    density = Density(atoms, basis, 0.05 * rng.normal(size=basis.size(atoms.numbers)))
    sizes = rng.normal(size=(n, n, n)) * 10 ** rng.uniform(-12, 3, (n, n, n))
    return {
        "ethanol": (atoms, density.on_grid(shape=(n, n, n))),
        "random": (atoms, Grid(sizes, np.zeros(3), 10 * np.eye(3))),
    }


def by_ase(path: Path, atoms: Atoms, grid: Grid) -> None:
    copy = atoms.copy()
    copy.cell = grid.cell
    with path.open("w") as stream:
        ase_write_cube(stream, copy, data=grid.values * units.Bohr**3, origin=grid.origin)


def read_by_ase(path: Path) -> np.ndarray:
    with path.open() as stream:
        return ase_read_cube(stream)["data"]


def best(tasks: list[Callable[[], object]], repeats: int) -> list[float]:
    """The least CPU time of each task, one after the other in each round."""
    times = np.full((repeats, len(tasks)), np.inf)
    for row in times:
        for k, task in enumerate(tasks):
            start = time.process_time()
            task()
            row[k] = time.process_time() - start
    return times.min(axis=0).tolist()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=128, help="along each axis")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{'':20} {'ASE':>9} {'here':>9} {'ratio':>7} {'MB':>7}")
    with tempfile.TemporaryDirectory() as folder:
        theirs, ours = Path(folder, "ase.cube"), Path(folder, "here.cube")
        for name, (atoms, grid) in grids(arguments.points).items():
            tasks: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
                "write": (
                    lambda a=atoms, g=grid: by_ase(theirs, a, g),
                    lambda a=atoms, g=grid: write_cube(ours, a, g),
                ),
                # the same file for both
                "read": (lambda: read_by_ase(ours), lambda: read_cube(ours)),
            }
            for task, pair in tasks.items():
                ase, here = best(list(pair), arguments.repeats)
                size = ours.stat().st_size / 1e6
                times = f"{ase:7.3f} s {here:7.3f} s {ase / here:7.1f}"
                print(f"{name + ', ' + task:20} {times} {size:7.1f}")
            values, expected = read_by_ase(ours), grid.values * units.Bohr**3
            np.testing.assert_allclose(values, expected, rtol=6e-6)
            # and every digit of the text is Python's
            body = ours.read_text().split("\n", 6 + len(atoms))[-1].split()
            text = io.StringIO()
            np.savetxt(text, expected.reshape(-1), fmt="%.5E")
            print(f"{name}: digits differ in {sum(map(str.__ne__, body, text.getvalue().split()))}")


if __name__ == "__main__":
    main()
