"""Reading the text of an overlap matrix of FHI-aims, against numpy's readers of text.

python benchmarks/aims_overlap.py [--size 2500]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ase_rholearn.aims.overlap import read_overlap, store_overlap


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=2500, help="functions of the basis")
    size = parser.parse_args().size
    rng = np.random.default_rng(0)
    count = size * (size + 1) // 2
    values = rng.normal(size=count) * 10.0 ** rng.integers(-12, 2, size=count)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ri_ovlp.out"
        np.savetxt(path, values)
        megabytes = path.stat().st_size / 1e6
        print(f"{size} functions, {megabytes:.0f} MB of text")
        print(f"{'':16} {'CPU s':>8} {'MB/s':>8}")
        readers: dict[str, Callable[[], Any]] = {
            "read_overlap": lambda: read_overlap(folder, size),
            "store_overlap": lambda: store_overlap(folder, size),
            "numpy.fromfile": lambda: np.fromfile(path, sep=" "),
            "numpy.loadtxt": lambda: np.loadtxt(path),
        }
        for name, reader in readers.items():
            start = time.process_time()
            reader()
            seconds = time.process_time() - start
            print(f"{name:16} {seconds:8.2f} {megabytes / seconds:8.0f}")


if __name__ == "__main__":
    main()
