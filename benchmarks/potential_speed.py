"""Potentials, Hirshfeld charges and Bader charges of water boxes, one thread.

    python benchmarks/potential_speed.py [molecules along each edge ...]

Time of each in units of the density on 96^3 points, the same run; and the largest difference of
the potential on grids from its closed form at 200 of the points.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.build import molecule

from ase_rholearn import Density, RhoCalculator
from ase_rholearn.density.charges.bader import bader_atoms


def water_box(n: int) -> Atoms:
    """n^3 molecules, each turned at random, as dense as water."""
    rng = np.random.default_rng(0)
    box = Atoms(cell=[3.1 * n] * 3, pbc=True)
    for site in np.ndindex(n, n, n):
        one = molecule("H2O")
        one.rotate(rng.uniform(0, 360), rng.normal(size=3))
        one.positions += np.array(site) * 3.1 + 0.4
        box += one
    return box


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    """Processor seconds, and the result."""
    start = time.process_time()
    result = function()
    return time.process_time() - start, result


def report(rho: Density) -> None:
    rho.on_grid(shape=(8, 8, 8))
    unit, _ = timed(lambda: rho.on_grid(shape=(96, 96, 96)))
    print(f"{len(rho.atoms)} atoms, pbc {rho.atoms.pbc.tolist()}: density 96^3 {unit:.2f} s")
    for n in (40, 96):
        seconds, grid = timed(lambda n=n: rho.potential_on_grid(shape=(n, n, n)))
        chosen = tuple(np.random.default_rng(0).integers(0, n, (3, 200)))
        error = np.abs(grid.values[chosen] - rho.potential(grid.points()[chosen])).max()
        print(f"  potential {n}^3 {seconds / unit:6.2f}   error {error:.1e} V", flush=True)
    seconds, _ = timed(rho.hirshfeld)
    print(f"  Hirshfeld      {seconds / unit:6.2f}", flush=True)
    seconds, _ = timed(lambda: bader_atoms(rho, spacing=0.12))
    print(f"  Bader          {seconds / unit:6.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("sizes", nargs="*", type=int, default=[2, 4])
    torch.set_num_threads(1)
    calculator = RhoCalculator("water-pbe")
    for n in parser.parse_args().sizes:
        box = water_box(n)
        report(calculator.get_density(box))
        box.pbc = False
        report(calculator.get_density(box))


if __name__ == "__main__":
    main()
