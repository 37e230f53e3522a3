"""How busy generation keeps the cores.

    python benchmarks/generation_load.py --workers 2 --structures 60

Water molecules at PBE/def2-TZVP with forces, from the start of the job to its end; the time
in which workers start is counted in. Two figures: CPU time over wall time times workers, which
other programs on the machine make smaller, and the share of moments at which a worker had
something to do, whether or not a core was free for it (Linux).
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from ase.build import molecule

from ase_rholearn.basis import even_tempered
from ase_rholearn.references.pyscf import KohnSham, PySCF, atomic_densities
from ase_rholearn.training import DataSet
from ase_rholearn.training.generation import Workers, generate


class Watch(threading.Thread):
    """Looks twenty times a second how many children of this process have something to do."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.ended = threading.Event()
        self.counts: list[int] = []

    def run(self) -> None:
        while not self.ended.wait(0.05):
            states = []
            for children in Path("/proc/self/task").glob("*/children"):
                for pid in children.read_text().split():
                    try:
                        stat = Path(f"/proc/{pid}/stat").read_text()
                    except OSError:  # it has ended
                        continue
                    states.append(stat.rsplit(")", 1)[1].split()[0])
            self.counts.append(sum(state in "RD" for state in states))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--structures", type=int, default=60)
    parser.add_argument("--kind", default="processes")
    options = parser.parse_args()
    random = np.random.default_rng(0)
    structures = []
    for _ in range(options.structures):
        structures.append(molecule("H2O"))
        structures[-1].rattle(0.05, rng=random)
    basis = even_tempered(["H", "O"]).with_atomic_densities(atomic_densities([1, 8]))
    code = PySCF(basis, KohnSham())
    with tempfile.TemporaryDirectory() as folder:
        dataset = DataSet.create(folder, basis, code.settings())
        workers = Workers(options.kind, options.workers)
        watch = Watch()
        watch.start()
        start, before = time.perf_counter(), time.process_time()
        end = generate(structures, dataset, code, workers)
        watch.ended.set()
        wall, own = time.perf_counter() - start, time.process_time() - before
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = children.ru_utime + children.ru_stime
    print(f"{end.done} structures in {wall:.1f} s by {options.workers} workers")
    print(f"CPU time of the workers: {100 * cpu / (wall * options.workers):.1f} % of the cores")
    busy = np.mean(watch.counts) / options.workers
    print(f"workers with something to do: {100 * busy:.1f} % of the time")
    print(f"the job's own process: {100 * own / wall:.1f} % of one core")


if __name__ == "__main__":
    main()
