"""Densities of water on functions whose norm is arbitrary, in files as FHI-aims writes them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ase import Atoms

from ase_rholearn.aims import BasisInfo, RIFit
from ase_rholearn.aims.basis_info import write_basis_info
from ase_rholearn.aims.number_files import write_vector
from ase_rholearn.aims.overlap import write_overlap
from ase_rholearn.basis import Basis
from ase_rholearn.references.pyscf import metric_matrix

#: What all atoms of a species have: s coefficients, which make most of the density.
ATOMS = {1: (0.1, 0.4, 0.2), 8: (1.5, 1.0, 0.8, 0.4)}


def norms(basis: Basis, numbers: np.ndarray) -> np.ndarray:
    """Of every function, the same for all atoms of a species: (size,)."""
    layout = basis.layout(numbers)
    return 0.5 + 0.7 * layout.l + 0.3 * layout.n + 0.1 * numbers[layout.atom]


def counts_of(basis: Basis, numbers: np.ndarray) -> tuple[tuple[int, ...], ...]:
    """Radial functions of each l on each atom."""
    highest = {z: basis.shells[z][-1].l for z in basis.species}
    return tuple(
        tuple(len(basis.radial_functions(int(z), l)) for l in range(highest[int(z)] + 1))
        for z in numbers
    )


def product_fit(
    atoms: Atoms, basis: Basis, deformation: np.ndarray, masked: Sequence[int] = ()
) -> RIFit:
    """A density: that of coefficients of a basis of unit norm, and of atoms; masked ones left out.

    The functions are those of the basis times :func:`norms`.
    """
    numbers = atoms.numbers
    scale = norms(basis, numbers)
    whole = deformation.copy()
    for start, z in zip(basis.offsets(numbers), numbers, strict=False):
        whole[start : start + len(ATOMS[int(z)])] += ATOMS[int(z)]
    coefficients = whole / scale
    overlap = metric_matrix(atoms, basis, "overlap") * np.outer(scale, scale)
    kept = np.flatnonzero(~np.isin(basis.layout(numbers).atom, masked))
    counts = tuple(
        () if atom in masked else own for atom, own in enumerate(counts_of(basis, numbers))
    )
    overlap, coefficients = overlap[np.ix_(kept, kept)], coefficients[kept]
    return RIFit(BasisInfo(counts), coefficients, overlap @ coefficients, overlap, 240925)


def write_run(folder: Path, atoms: Atoms, fit: RIFit, *, with_overlap: bool = True) -> Path:
    """The files of a run; masked atoms have labels of their own."""
    assert fit.projections is not None
    assert fit.overlap is not None
    folder.mkdir(parents=True)
    lines = [
        "lattice_vector " + " ".join(repr(float(value)) for value in vector) + "\n"
        for vector in atoms.cell.array[atoms.pbc]
    ]
    for symbol, counts, position in zip(
        atoms.symbols, fit.basis.counts, atoms.positions, strict=True
    ):
        x, y, z = (repr(float(value)) for value in position)
        lines.append(f"atom {x} {y} {z} {symbol if counts else symbol + '_1'}\n")
    (folder / "geometry.in").write_text("".join(lines))
    (folder / "aims.out").write_text(
        "          Invoking FHI-aims ...\n\n  FHI-aims version      : 240925\n"
    )
    write_basis_info(folder / "basis_info.out", fit.basis)
    write_vector(folder / "ri_restart_coeffs.out", fit.coefficients)
    write_vector(folder / "ri_projections.out", fit.projections)
    if with_overlap:
        write_overlap(folder / "ri_ovlp.out", fit.overlap)
    return folder
