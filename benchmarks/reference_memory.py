"""Peak memory and time of one reference calculation with its fit.

    OMP_NUM_THREADS=1 python benchmarks/reference_memory.py

Paracetamol (20 atoms, 11 of them heavy) at PBE/def2-TZVP with forces, fitted with the
even-tempered basis of beta 1.8. A sampling thread says in which step the memory is used.
"""

from __future__ import annotations

import argparse
import resource
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ase import Atoms

from ase_rholearn.basis import Basis, even_tempered
from ase_rholearn.references.pyscf import KohnSham, PySCF, atomic_densities

#: GFN2-xTB minimum, Angstrom.
PARACETAMOL = (
    ("C", (-3.6542, -0.5692, -0.0075)),
    ("C", (-2.1934, -0.9206, -0.2158)),
    ("O", (-1.8217, -2.0157, -0.5700)),
    ("N", (-1.3695, 0.1362, 0.0383)),
    ("C", (0.0275, 0.2049, -0.0402)),
    ("C", (0.8092, -0.8465, -0.5052)),
    ("C", (2.1831, -0.7110, -0.5665)),
    ("C", (2.8004, 0.4676, -0.1679)),
    ("O", (4.1510, 0.6354, -0.2207)),
    ("C", (2.0200, 1.5197, 0.3016)),
    ("C", (0.6490, 1.3861, 0.3624)),
    ("H", (-3.9552, 0.2026, -0.7135)),
    ("H", (-4.2588, -1.4564, -0.1711)),
    ("H", (-3.8180, -0.2044, 1.0044)),
    ("H", (-1.8099, 0.9935, 0.3423)),
    ("H", (0.3405, -1.7646, -0.8155)),
    ("H", (2.7833, -1.5339, -0.9312)),
    ("H", (4.5619, -0.1636, -0.5718)),
    ("H", (2.5052, 2.4311, 0.6121)),
    ("H", (0.0496, 2.2088, 0.7270)),
)


@contextmanager
def steps() -> Iterator[dict[str, list[float]]]:
    """Seconds of CPU time and largest resident memory (GB) of each step, by sampling."""
    import pyscf.dft.rks
    import pyscf.grad.rhf

    from ase_rholearn.references.pyscf import run, wavefunction

    current = ["rest"]
    figures: dict[str, list[float]] = {}
    over = threading.Event()

    def enter(owner: object, function: str, name: str) -> None:
        original = getattr(owner, function)

        def wrapped(*arguments: object, **options: object) -> object:
            start, before = time.process_time(), current[0]
            current[0] = name
            try:
                return original(*arguments, **options)
            finally:
                current[0] = before
                figures.setdefault(name, [0.0, 0.0])[0] += time.process_time() - start

        setattr(owner, function, wrapped)

    def sample() -> None:
        while not over.wait(0.02):
            entry = figures.setdefault(current[0], [0.0, 0.0])
            entry[1] = max(entry[1], resident())

    enter(run, "self_consistent", "self-consistency")
    enter(pyscf.grad.rhf.GradientsBase, "kernel", "forces")
    enter(wavefunction, "fit_density", "fit")
    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield figures
    finally:
        over.set()
        thread.join()


def resident() -> float:
    """Resident memory of this process that no file backs, in GB (Linux)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) / 1e6
    return 0.0


def basis_of(atoms: Atoms, beta: float) -> Basis:
    basis = even_tempered(sorted(set(atoms.symbols)), beta=beta)
    return basis.with_atomic_densities(atomic_densities(basis.species))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--orbital-basis", default="def2-tzvp")
    parser.add_argument("--beta", type=float, default=1.8)
    parser.add_argument("--max-memory", type=float, help="MB that PySCF aims at")
    options = parser.parse_args()
    atoms = Atoms([s for s, _ in PARACETAMOL], [r for _, r in PARACETAMOL])
    code = PySCF(
        basis_of(atoms, options.beta),
        KohnSham(orbital_basis=options.orbital_basis),
        keep_orbitals=True,
        max_memory=options.max_memory,
    )
    print(f"{len(atoms)} atoms, {code.basis.size(atoms.numbers)} functions of the fit")
    with steps() as figures:
        before = time.process_time()
        made = code.reference(atoms)
        seconds = time.process_time() - before
    print(f"electrons of the fit: {made.fit['electron_error']:+.5f}")
    for name, (cpu, memory) in sorted(figures.items()):
        print(f"{name:18} {cpu:8.1f} s  {memory:6.2f} GB")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{'all':18} {seconds:8.1f} s  {peak:6.2f} GB with libraries")


if __name__ == "__main__":
    main()
