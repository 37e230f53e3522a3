"""The product basis of FHI-aims as a basis of the package: counts, overlaps, mean atoms."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols

from ...aims import RIFit
from ...aims.predicted import counts_of
from ...basis import Basis, unknown_shells


class ProductBasis:
    """What structures say about the functions of their species, one structure after the other."""

    def __init__(self) -> None:
        self.counts: dict[int, tuple[int, ...]] = {}
        self._grams: dict[tuple[int, int], list[np.ndarray]] = {}
        self._means: dict[int, list[np.ndarray]] = {}

    def add(self, atoms: Atoms, fit: RIFit, *, means: bool = True) -> None:
        """Take account of one structure, of its s coefficients only if they shall count.

        Raises
        ------
        ValueError
            A species has other functions than before; nothing of the structure counts then.
        """
        self.counts = species_counts(atoms, fit, self.counts)
        offsets = fit.basis.offsets
        for atom, (z, counts) in enumerate(zip(atoms.numbers, fit.basis.counts, strict=True)):
            if not counts:
                continue
            start = int(offsets[atom])
            if means:
                own = fit.coefficients[start : start + counts[0]]
                self._means.setdefault(int(z), []).append(own)
            if fit.overlap is not None:
                for l, gram in _grams(fit.overlap, start, counts):
                    self._grams.setdefault((int(z), l), []).append(gram)

    def build(self, name: str) -> Basis:
        """The basis of all structures so far."""
        if not self.counts:
            raise ValueError("no atom has any functions: is every atom masked?")
        shells = {}
        for z, counts in self.counts.items():
            shells[z] = tuple(
                shell
                for l, count in enumerate(counts)
                for shell in unknown_shells(l, self._gram(z, l), count)
            )
        means = {z: tuple(np.mean(own, axis=0).tolist()) for z, own in self._means.items()}
        missing = sorted(set(shells) - set(means))
        if missing:
            symbols = ", ".join(chemical_symbols[z] for z in missing)
            raise ValueError(f"free_atoms has no structure with {symbols}: give one")
        return Basis(shells, name=name, mean_atoms=means)

    def _gram(self, z: int, l: int) -> np.ndarray | None:
        found = self._grams.get((z, l))
        return None if found is None else np.mean(found, axis=0)


def species_counts(
    atoms: Atoms, fit: RIFit, known: Mapping[int, tuple[int, ...]] | None = None
) -> dict[int, tuple[int, ...]]:
    """Radial functions of l = 0, 1, ... of each species: what is known, and what a fit adds.

    Raises
    ------
    ValueError
        Two atoms of a species have different functions.
    """
    counts = dict(known or {})
    for atom, (z, own) in enumerate(zip(atoms.numbers, fit.basis.counts, strict=True)):
        # masked atoms have no functions
        if own and counts.setdefault(int(z), own) != own:
            raise ValueError(
                f"atom {atom} of {atoms.get_chemical_formula()} has {own} radial functions of "
                f"l = 0, 1, ..., but {chemical_symbols[z]} had {counts[int(z)]} before: a data "
                "set has one basis a species; collect runs of other settings, or labels with a "
                "basis of their own, into another one"
            )
    return counts


def product_basis(
    structures: Iterable[tuple[Atoms, RIFit]], name: str = "FHI-aims product basis"
) -> Basis:
    """The basis of some fits.

    Parameters
    ----------
    structures
        Structures and their fits. The overlaps of radial functions are those on the atoms of
        structures that have an overlap matrix; mean atoms are the mean of all.
    name
        For people.
    """
    collected = ProductBasis()
    for atoms, fit in structures:
        collected.add(atoms, fit)
    return collected.build(name)


def check_counts(basis: Basis, counts: dict[int, tuple[int, ...]]) -> None:
    """Raise a ValueError if a basis has other functions on some species."""
    basis.check_species(counts)
    known = counts_of(basis)
    for z, own in counts.items():
        symbol = chemical_symbols[z]
        if known[symbol] != own:
            raise ValueError(
                f"{symbol} has {own} radial functions of l = 0, 1, ... in the runs, but "
                f"{known[symbol]} in the basis {basis.name!r}: are they of the same settings?"
            )


def _grams(
    overlap: np.ndarray, start: int, counts: Sequence[int]
) -> Iterable[tuple[int, np.ndarray]]:
    """Overlaps of the radial functions of an atom, the mean over m: l and (n, n)."""
    for l, count in enumerate(counts):
        stop = start + count * (2 * l + 1)
        if count:
            block = overlap[start:stop, start:stop].reshape(count, 2 * l + 1, count, 2 * l + 1)
            gram = np.einsum("nmkm->nk", block) / (2 * l + 1)
            yield l, 0.5 * (gram + gram.T)
        start = stop
