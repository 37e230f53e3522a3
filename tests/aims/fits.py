"""Small fits on made-up product bases, and directories that hold them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ase import Atoms

from ase_rholearn.aims.basis_info import BasisInfo, write_basis_info
from ase_rholearn.aims.native_order import NativeOrder
from ase_rholearn.aims.number_files import write_vector
from ase_rholearn.aims.overlap import write_overlap
from ase_rholearn.aims.ri_files import RIFit

#: Public data of FHI-aims, where they are beside the repository; see the tests that use them.
_SHARED = (folder / "shared/data/fhi-aims" for folder in Path(__file__).parents)
PUBLIC = next((folder for folder in _SHARED if folder.exists()), None)

#: Radial functions of l = 0, 1, ...
SPECIES = {"O": (3, 2, 1), "H": (2, 1), "C": (3, 2, 1)}


def made_up_fit(basis: BasisInfo, seed: int = 0, version: int = 240925) -> RIFit:
    """A fit with S c = w of some positive definite S."""
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(basis.size, basis.size))
    overlap = root @ root.T + basis.size * np.eye(basis.size)
    coefficients = rng.normal(size=basis.size)
    return RIFit(basis, coefficients, overlap @ coefficients, overlap, version)


def native_order(basis: BasisInfo, seed: int = 0) -> NativeOrder:
    """Some order of functions, with the signs that early versions have."""
    index = np.random.default_rng(seed).permutation(basis.size)
    odd = (basis.layout.m > 0) & (basis.layout.m % 2 == 1)
    return NativeOrder(index, np.sort(index[odd]))


def write_fit(
    folder: Path,
    fit: RIFit,
    order: NativeOrder | None = None,
    *,
    triangle: bool = True,
    said: bool = True,
) -> Path:
    """Write a fit as FHI-aims does; in its own order if one is given."""
    assert fit.projections is not None
    assert fit.overlap is not None
    folder.mkdir(exist_ok=True)
    write_basis_info(folder / "basis_info.out", fit.basis)
    coefficients, projections, overlap = fit.coefficients, fit.projections, fit.overlap
    if order is not None:
        order.write(folder)
        coefficients, projections = order.to_native(coefficients), order.to_native(projections)
        back = np.argsort(order.index)
        overlap = overlap[np.ix_(back, back)] * np.outer(order.signs, order.signs)
    write_vector(folder / "ri_restart_coeffs.out", coefficients)
    write_vector(folder / "ri_projections.out", projections)
    write_overlap(folder / "ri_ovlp.out", overlap, triangle=triangle)
    if said:
        (folder / "aims.out").write_text(
            f"          Invoking FHI-aims ...\n\n  FHI-aims version      : {fit.version}\n"
        )
    return folder


def basis_of(atoms: Atoms) -> BasisInfo:
    return BasisInfo.from_species(list(atoms.symbols), SPECIES)
