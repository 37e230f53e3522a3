"""All-electron densities of GPAW on grids.

    python make_grid_gpaw.py

Needs GPAW 24 or newer with its data sets (``pip install gpaw gpaw-data``); half a minute on
one core. Writes ``grid_gpaw.npz`` beside itself, in e/Angstrom^3 with 12 bits of mantissa.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import bulk, molecule
from gpaw import GPAW, PW

#: Points of the box of the molecule that are kept, about its centre.
KEPT = 48


def shortened(values: np.ndarray) -> np.ndarray:
    """Single precision with 12 bits of mantissa, which compresses well."""
    bits = values.astype(np.float32).view(np.uint32)
    return ((bits + np.uint32(0x400)) & np.uint32(0xFFFFF800)).view(np.float32)


def run(atoms: Atoms, *, core: bool, **options: Any) -> np.ndarray:
    """Density on a grid twice as fine as that of the calculation."""
    atoms = atoms.copy()
    atoms.calc = GPAW(xc="PBE", txt=None, **options)
    atoms.get_potential_energy()
    return atoms.calc.get_all_electron_density(gridrefinement=2, skip_core=not core)


def main() -> None:
    """Silicon with and without its core electrons, rock salt and water without."""
    arrays: dict[str, np.ndarray] = {}

    def keep(name: str, atoms: Atoms, values: np.ndarray, origin: np.ndarray) -> None:
        arrays[f"{name}_numbers"] = atoms.numbers
        arrays[f"{name}_positions"] = atoms.positions
        arrays[f"{name}_cell"] = atoms.cell.array
        arrays[f"{name}_origin"] = origin
        arrays[f"{name}_values"] = shortened(values)

    si = bulk("Si", a=5.43)
    for name, core in (("si", False), ("si-core", True)):
        values = run(si, core=core, mode=PW(350), kpts=(4, 4, 4), gpts=(16, 16, 16))
        keep(name, si, values, np.zeros(3))
    nacl = bulk("NaCl", "rocksalt", a=5.64)
    values = run(nacl, core=False, mode=PW(350), kpts=(3, 3, 3), gpts=(20, 20, 20))
    keep("nacl", nacl, values, np.zeros(3))

    water = molecule("H2O", cell=[6.24] * 3)
    water.center()
    values = run(water, core=False, mode="fd", gpts=(32, 32, 32))
    first = (len(values) - KEPT) // 2
    part = slice(first, first + KEPT)
    step = 6.24 / len(values)
    box = Atoms(water.numbers, water.positions, cell=[KEPT * step] * 3)
    keep("water", box, values[part, part, part], np.full(3, first * step))
    np.savez_compressed(Path(__file__).with_name("grid_gpaw.npz"), **arrays)


if __name__ == "__main__":
    main()
