r"""Errors of coefficients for each species and l.

On radial functions that are orthonormal on each atom (as the network has them) the coefficients
:math:`\tilde c` have :math:`\sum_{nm} \Delta\tilde c_{Alnm}^2 = \int |\Delta\rho_{Al}|^2`,
the *on-site* squared error of atom A and angular momentum l, in e^2/bohr^3. It says how well
coefficients are predicted. Functions of neighbours overlap, so that errors of coefficients
cancel in the density: what a species and l carry of its error is in the module ``integrals``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from ase.data import chemical_symbols

from ...basis import Basis, radial_transform

#: Pairs of coefficients of each l that a structure keeps for parity plots.
_SAMPLE = 40


@dataclass(frozen=True)
class Block:
    """Coefficients of all atoms of one species and one l, radially orthonormal.

    Attributes
    ----------
    z, l
        Species and angular momentum.
    predicted, reference
        (n_atoms, n, 2 l + 1) e/bohr^1.5.
    """

    z: int
    l: int
    predicted: np.ndarray
    reference: np.ndarray

    @property
    def squared_error(self) -> float:
        """On-site squared error of all these atoms, e^2/bohr^3."""
        return float(((self.predicted - self.reference) ** 2).sum())

    @property
    def squared_reference(self) -> float:
        """The same of what is to be predicted, e^2/bohr^3."""
        return float((self.reference**2).sum())

    def to_dict(self) -> dict[str, object]:
        """Plain data, without the coefficients."""
        return {
            "species": chemical_symbols[self.z],
            "l": self.l,
            "atoms": len(self.reference),
            "squared_error": self.squared_error,
            "squared_reference": self.squared_reference,
        }


def blocks(
    basis: Basis, numbers: np.ndarray, predicted: np.ndarray, reference: np.ndarray
) -> Iterator[Block]:
    """Divide two flat vectors of the same basis by species and l.

    Parameters
    ----------
    basis, numbers
        To which the vectors belong.
    predicted, reference
        (size,) e/bohr^1.5.
    """
    layout = basis.layout(numbers)
    species = np.asarray(numbers)[layout.atom]
    for z in np.unique(numbers).tolist():
        for l in range(basis.l_max + 1):
            rows = np.flatnonzero((species == z) & (layout.l == l))
            if len(rows):
                shape = (int((numbers == z).sum()), -1, 2 * l + 1)
                inverse = np.linalg.inv(radial_transform(basis, z, l, "overlap"))
                first, second = (
                    np.einsum("ij,ajm->aim", inverse, vector[rows].reshape(shape))
                    for vector in (predicted, reference)
                )
                yield Block(z, l, first, second)


def sample(found: list[Block], seed: str) -> dict[str, list[list[float]]]:
    """Some coefficients for parity plots: for each l predicted and reference values.

    Parameters
    ----------
    found
        Those of one structure.
    seed
        Its id, so that the draw is always the same.
    """
    digest = hashlib.sha256(seed.encode()).digest()
    random = np.random.default_rng(int.from_bytes(digest[:8], "little"))
    drawn: dict[str, list[list[float]]] = {}
    for l in sorted({block.l for block in found}):
        pairs = np.array(
            [
                np.concatenate([getattr(b, name).ravel() for b in found if b.l == l])
                for name in ("predicted", "reference")
            ]
        )
        chosen = random.permutation(pairs.shape[1])[:_SAMPLE]
        drawn[str(l)] = pairs[:, chosen].tolist()
    return drawn
