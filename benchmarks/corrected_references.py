"""References by linear response beside self-consistent ones: errors and CPU times.

The first held-out molecules of ``organic-pbe``, which corrects its own predictions; both are fitted
in the model's basis at its level of theory, without forces. One thread, one run. Run

    python benchmarks/corrected_references.py --first 10
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
from ase import Atoms
from organic_model import MODEL, held_out

from ase_rholearn import Density, load_model
from ase_rholearn.density import nmae
from ase_rholearn.references import Reference
from ase_rholearn.references.pyscf import KohnSham, PySCF
from ase_rholearn.training.generation import CorrectedPredictions

LEVEL = KohnSham("PBE", "def2-tzvp", conv_tol=1e-8, forces=False)
COARSE = KohnSham("PBE", "def2-tzvp", grid_level=2, forces=False)


def timed(make: Callable[[Atoms], Reference], atoms: Atoms) -> tuple[Reference, float]:
    """A reference and its CPU time in seconds."""
    start = time.process_time()
    found = make(atoms)
    return found, time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--first", type=int, default=10, help="molecules of the test set")
    arguments = parser.parse_args()
    model = load_model(MODEL, "cpu")
    usual = PySCF(model.basis, LEVEL)
    response = CorrectedPredictions(model.basis, MODEL, COARSE)
    rows = []
    for atoms in held_out(arguments.first):
        exact, slow = timed(usual.reference, atoms)
        fast, quick = timed(response.reference, atoms)
        predicted = model.coefficients([atoms])[0]
        fitted, corrected, plain = (
            Density(atoms, model.basis, c)
            for c in (exact.coefficients, fast.coefficients, predicted)
        )
        assert exact.energy is not None
        assert fast.energy is not None
        row = (
            nmae(plain, fitted),
            nmae(corrected, fitted),
            1e3 * abs(fast.energy - exact.energy) / len(atoms),
            quick / slow,
        )
        rows.append(row)
        print(
            f"{atoms.get_chemical_formula():14} prediction {row[0]:.3f} %, corrected "
            f"{row[1]:.4f} %, {row[2]:.2f} meV/atom, {row[3]:.2f} of the time ({slow:.1f} s)",
            flush=True,
        )
    mean, worst = np.mean(rows, axis=0), np.max(rows, axis=0)
    print(
        f"{len(rows)} molecules: prediction {mean[0]:.3f} %, corrected {mean[1]:.4f} % (worst "
        f"{worst[1]:.4f} %), {mean[2]:.2f} meV/atom, {mean[3]:.2f} of the time"
    )


if __name__ == "__main__":
    main()
