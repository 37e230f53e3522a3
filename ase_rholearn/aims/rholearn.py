"""What rholearn kept of fits of FHI-aims: ``ri_coeffs.npz``, ``ri_projs.npz``, ``ri_ovlp.npz``.

TensorMaps in the standard order. Blocks of the overlap between different atoms are there once and
doubled, so that a sum over blocks is the quadratic form; atomic numbers of masked species, such as
C_1, have 1000 added to them, and masked atoms have no samples.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from .basis_info import BasisInfo
from .ri_files import RIFit

COEFFICIENTS, PROJECTIONS, OVERLAP = "ri_coeffs.npz", "ri_projs.npz", "ri_ovlp.npz"

#: What each underscore of a label adds to an atomic number.
_LABELS = 1000


def has_rholearn_fit(directory: str | os.PathLike[str]) -> bool:
    """Whether a directory holds what :func:`read_rholearn_fit` reads."""
    return (Path(directory) / COEFFICIENTS).exists()


def read_rholearn_fit(directory: str | os.PathLike[str], atoms: Atoms) -> RIFit:
    """Read the processed files of one structure.

    Parameters
    ----------
    directory
        With ``ri_coeffs.npz``, and ``ri_projs.npz`` and ``ri_ovlp.npz`` if they are there.
    atoms
        The structure, atoms in the order of rholearn's geometry.in.

    Raises
    ------
    FileNotFoundError
        There are no coefficients.
    ValueError
        A file is damaged, or belongs to another structure or basis.
    """
    folder = Path(directory)
    if not has_rholearn_fit(folder):
        raise FileNotFoundError(f"there is no {folder / COEFFICIENTS}")
    tensor = _load(folder / COEFFICIENTS)
    basis = _basis_of(tensor, atoms, folder / COEFFICIENTS)
    return RIFit(
        basis,
        _vector(tensor, basis, folder / COEFFICIENTS),
        _vector(_load(folder / PROJECTIONS), basis, folder / PROJECTIONS)
        if (folder / PROJECTIONS).exists()
        else None,
        _matrix(_load(folder / OVERLAP), basis, folder / OVERLAP)
        if (folder / OVERLAP).exists()
        else None,
    )


def _load(path: Path) -> Any:
    import metatensor.torch

    try:
        return metatensor.torch.load(str(path))
    except (RuntimeError, ValueError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"{path} is no TensorMap, or it is damaged ({reason})") from error


def _basis_of(tensor: Any, atoms: Atoms, path: Path) -> BasisInfo:
    """Radial functions of each atom; none for masked atoms, which have no samples."""
    counts: list[dict[int, int]] = [{} for _ in atoms]
    for key, block in tensor.items():
        l, z = int(key["o3_lambda"]), int(key["center_type"]) % _LABELS
        for atom in block.samples.column("atom").tolist():
            if atom >= len(atoms) or atoms.numbers[atom] != z:
                raise ValueError(
                    f"{path}: atom {atom} has atomic number {z}, which is not so in "
                    f"{atoms.get_chemical_formula()}: give the structure that the files belong to, "
                    "its atoms in their order"
                )
            counts[atom][l] = len(block.properties)
    return BasisInfo(
        tuple(tuple(own.get(l, 0) for l in range(max(own, default=-1) + 1)) for own in counts)
    )


def _vector(tensor: Any, basis: BasisInfo, path: Path) -> np.ndarray:
    """Flat vector of a TensorMap: shape (size,)."""
    vector = np.full(basis.size, np.nan)
    layout = basis.layout
    for key, block in tensor.items():
        l = int(key["o3_lambda"])
        values = block.values.numpy()  # [sample, mu, n]
        for atom, value in zip(block.samples.column("atom").tolist(), values, strict=True):
            own = np.flatnonzero((layout.atom == atom) & (layout.l == l))
            if len(own) != value.size:
                raise ValueError(
                    f"{path}: l = {l} of atom {atom} has {value.size} numbers, the basis "
                    f"{len(own)}: are the files of one structure?"
                )
            vector[own] = value.T.ravel()
    if not np.isfinite(vector).all():
        raise ValueError(f"{path} lacks numbers, or some are NaN or infinity")
    return vector


def _matrix(tensor: Any, basis: BasisInfo, path: Path) -> np.ndarray:
    """Overlap matrix of a TensorMap: shape (size, size)."""
    matrix = np.full((basis.size, basis.size), np.nan)
    parts = [slice(*pair) for pair in zip(basis.offsets, basis.offsets[1:], strict=False)]
    for _, block in tensor.items():
        values = block.values.numpy()
        samples = block.samples
        pairs = zip(
            samples.column("atom_1").tolist(), samples.column("atom_2").tolist(), strict=True
        )
        for (first, second), value in zip(pairs, values, strict=True):
            value = value if first == second else value / 2
            place = matrix[parts[first], parts[second]]
            if place.shape != value.shape:
                raise ValueError(
                    f"{path}: atoms {first} and {second} have {value.shape} overlaps, the basis "
                    f"{place.shape}: are the files of one structure?"
                )
            matrix[parts[first], parts[second]] = value
            matrix[parts[second], parts[first]] = value.T
    if not np.isfinite(matrix).all():
        raise ValueError(f"{path} lacks pairs of atoms, or numbers are NaN or infinity")
    return matrix
