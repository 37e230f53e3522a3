"""Data sets of many structures: time to open, rate and memory of shuffled reading.

    python benchmarks/dataset_speed.py --structures 100000

Writes synthetic references (20 atoms, 80 coefficients an atom) into a temporary folder, then
reads them in another process, so that its memory is that of reading alone. Two peers read the
same structures in the same run: a folder of one compressed .npz each, and a DiskDataset zip of
metatrain, read by metatrain itself where it is installed, else by the same calls of metatensor
and metatomic.
"""

from __future__ import annotations

import argparse
import io
import json
import resource
import subprocess
import sys
import tempfile
import time
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from ase import Atoms
from metatensor.torch import load_buffer
from metatomic.torch import load_system

from ase_rholearn.basis import Basis
from ase_rholearn.references import Reference, settings_with_basis
from ase_rholearn.training import DataSet
from ase_rholearn.training.data import export

ATOMS = 20
#: Functions of each l: 11 + 10 * 3 + 5 * 5 + 2 * 7 = 80.
SHELLS = [(l, np.geomspace(10.0, 0.1, n).tolist()) for l, n in enumerate((11, 10, 5, 2))]
BASIS = Basis.from_shells({"C": SHELLS}, name="synthetic")
SETTINGS = {"code": "synthetic"}


def references(count: int) -> Iterator[Reference]:
    random = np.random.default_rng(0)
    settings = settings_with_basis(SETTINGS, BASIS)
    size = BASIS.size([6] * ATOMS)
    for index in range(count):
        yield Reference(
            Atoms(f"C{ATOMS}", positions=random.uniform(0, 30, (ATOMS, 3)), info={"name": index}),
            random.normal(size=size),
            settings,
            converged=True,
            energy=float(random.normal()),
            forces=random.normal(size=(ATOMS, 3)),
            dipole=random.normal(size=3),
        )


def memory() -> float:
    """Peak memory of this process in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def read(folder: Path) -> None:
    before = memory()
    start = time.perf_counter()
    dataset = DataSet.open(folder)
    opened = time.perf_counter() - start
    names = dataset.ids
    np.random.default_rng(1).shuffle(names)
    start = time.perf_counter()
    total = sum(dataset.load(name).coefficients[0] for name in names)
    rate = len(names) / (time.perf_counter() - start)
    assert np.isfinite(total)
    figures = {"open_s": opened, "rate": rate, "peak_mb": memory(), "imports_mb": before}
    print(json.dumps(figures))


def read_files(folder: Path, count: int) -> float:
    """Structures a second from one compressed file each."""
    paths = []
    for index, reference in enumerate(references(count)):
        paths.append(folder / f"{index}.npz")
        reference.save(paths[-1])
    start = time.perf_counter()
    for path in paths:
        Reference.load(path)
    return count / (time.perf_counter() - start)


def read_zip(dataset: DataSet, folder: Path, count: int) -> tuple[str, float, float]:
    """Who read a DiskDataset zip, structures a second in shuffled order, and MB a structure."""
    path = folder / "peer.zip"
    export(dataset.folder, path, ids=dataset.ids[:count])
    order = np.random.default_rng(1).permutation(count)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from metatrain.utils.data.dataset import DiskDataset
    except ImportError:
        who, read_one = "its calls", zip_reader(path)
    else:
        who, read_one = "metatrain", DiskDataset(path).__getitem__
    start = time.perf_counter()
    for index in order:
        read_one(int(index))
    return who, count / (time.perf_counter() - start), path.stat().st_size / count / 1e6


def zip_reader(path: Path) -> Callable[[int], object]:
    """The system and the coefficients of an entry, as DiskDataset reads them."""
    archive = zipfile.ZipFile(path)

    def read_one(index: int) -> object:
        system = load_system(io.BytesIO(archive.read(f"{index}/system.mta")))
        buffer = io.BytesIO(archive.read(f"{index}/mtt::ri_coefficients.mts"))
        return system, load_buffer(torch.from_numpy(np.load(buffer)))

    return read_one


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--structures", type=int, default=100_000)
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.read:
        read(options.read)
        return
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        dataset = DataSet.create(Path(folder) / "set", BASIS, SETTINGS)
        dataset.extend(references(options.structures))
        written = time.perf_counter() - start
        size = sum(path.stat().st_size for path in (dataset.folder / "shards").iterdir())
        print(
            f"{len(dataset)} structures, {len(dataset.shards)} shards, {size / 1e6:.0f} MB, "
            f"{size / options.structures / 1e3:.1f} kB a structure"
        )
        print(f"written at {options.structures / written:.0f} structures/s")
        command = [sys.executable, __file__, "--read", str(dataset.folder)]
        figures = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        print(f"opened in {figures['open_s']:.2f} s")
        print(f"shuffled reading: {figures['rate']:.0f} structures/s")
        print(f"peak memory: {figures['peak_mb']:.0f} MB ({figures['imports_mb']:.0f} of imports)")
        peer = read_files(Path(folder), min(1000, options.structures))
        print(f"one .npz a structure: {peer:.0f} structures/s, 1/{figures['rate'] / peer:.1f}")
        who, peer, each = read_zip(dataset, Path(folder), min(1000, options.structures))
        print(
            f"DiskDataset zip, read by {who}: {peer:.0f} structures/s, "
            f"1/{figures['rate'] / peer:.1f}; {1e3 * each:.1f} kB a structure"
        )


if __name__ == "__main__":
    main()
