"""The text of an overlap matrix of FHI-aims: time and memory, against numpy and plain reading.

python benchmarks/aims_overlap.py [--size 5000]

Each reader runs in a process of its own. Memory is what it allocates; pages of the file that it
maps are the system's, which takes them back when it needs them.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ase_rholearn.aims.native_order import NativeOrder
from ase_rholearn.aims.number_files import finite_blocks
from ase_rholearn.aims.overlap import BINARY, NAME, read_overlap, store_overlap, write_overlap

#: Bytes that plain reading takes at once.
BLOCK = 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=5000, help="functions of the basis")
    size = parser.parse_args().size
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / NAME
        rng = np.random.default_rng(0)
        values = rng.normal(size=(size, size)) * 10.0 ** rng.integers(-12, 2, size=(size, size))
        write_overlap(path, values)
        del values
        megabytes = path.stat().st_size / 1e6
        matrix = 8 * size**2 / 1e6
        print(f"{size} functions: {megabytes:.0f} MB of text, a matrix of {matrix:.0f} MB")
        print(f"{'':24} {'CPU s':>8} {'wall s':>8} {'MB/s':>8} {'memory, MB':>11}")
        for name in READERS:
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                cpu, wall, memory = pool.apply(measure, (name, folder, size))
            (Path(folder) / BINARY).unlink(missing_ok=True)
            print(f"{name:24} {cpu:8.2f} {wall:8.2f} {megabytes / wall:8.0f} {memory:11.0f}")


def measure(name: str, folder: str, size: int) -> tuple[float, float, float]:
    """CPU and wall time in s, and how much memory beyond that before was allocated, MB."""
    reader = READERS[name]
    before = anonymous_memory()
    started, cpu = time.perf_counter(), time.process_time()
    with Peak() as peak:
        reader(folder, size)
    return time.process_time() - cpu, time.perf_counter() - started, peak.value - before


class Peak:
    """Largest allocated memory while a block runs, looked at a hundred times a second."""

    def __enter__(self) -> Peak:
        self.value = anonymous_memory()
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join()

    def watch(self) -> None:
        while not self.stop.wait(0.01):
            self.value = max(self.value, anonymous_memory())


def anonymous_memory() -> float:
    """Memory of this process that is not of files, MB; from Linux."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return float(line.split()[1]) * 1024 / 1e6
    raise OSError("the system does not say the memory of a process")


def read_plainly(folder: str, size: int) -> None:
    """Read the bytes, and nothing else."""
    with (Path(folder) / NAME).open("rb") as stream:
        while stream.read(BLOCK):
            pass


def read_from_disk(folder: str, size: int) -> None:
    """The same, where the system does not have the file in memory."""
    with (Path(folder) / NAME).open("rb") as stream:
        os.fsync(stream.fileno())
        os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    read_plainly(folder, size)


def parse_only(folder: str, size: int) -> None:
    """Read the numbers, and forget them."""
    for _ in finite_blocks(Path(folder) / NAME):
        pass


def store_legacy(folder: str, size: int) -> None:
    """Files of an early version, whose functions are in another order."""
    store_overlap(folder, size, NativeOrder(np.arange(size)[::-1], np.arange(0, size, 3)))


READERS: dict[str, Callable[[str, int], Any]] = {
    "bytes, from disk": read_from_disk,
    "bytes, from memory": read_plainly,
    "numbers, forgotten": parse_only,
    "store_overlap": store_overlap,
    "store_overlap, legacy": store_legacy,
    "read_overlap": read_overlap,
    "numpy.fromfile": lambda folder, _: np.fromfile(Path(folder) / NAME, sep=" "),
    "numpy.loadtxt": lambda folder, _: np.loadtxt(Path(folder) / NAME),
}


if __name__ == "__main__":
    main()
