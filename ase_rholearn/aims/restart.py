"""Writing coefficients for FHI-aims to start from (``ri_density_restart read``)."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from ase import Atoms

from .basis_info import NAME, read_basis_info
from .native_order import read_native_order
from .number_files import write_vector
from .ri_files import COEFFICIENTS, beta_file
from .run_files import file_of_run
from .versions import INDEX_FILES, is_legacy, version_number

#: What makes early versions write the files that lead to their order of functions.
_WRITES_INDICES = "in a run with `ri_density_restart read_init`"


def write_restart(
    directory: str | os.PathLike[str],
    atoms: Atoms,
    coefficients: np.ndarray,
    *,
    version: str | int,
) -> list[Path]:
    """Write ``ri_restart_coeffs.out``, in the order and signs of a version of FHI-aims.

    Parameters
    ----------
    directory
        Of the run, with ``geometry.in`` of the same order of atoms. Where ``basis_info.out`` of
        an earlier run is there, the length is checked against it. Versions before 240403 need
        their index files there (``ri_density_restart read_init`` writes them).
    atoms
        The structure.
    coefficients
        On its product basis in standard order (atom, l, n, m), atomic units: shape (size,), or
        (2, size) for the densities of both spins.
    version
        Of FHI-aims, such as ``"240925"``; the order of the file depends on it.

    Returns
    -------
    list of pathlib.Path
        What was written; of two spins the second file ends in ``_beta``.

    Raises
    ------
    ValueError
        Coefficients that are not finite or do not have the length of the basis, or an unknown
        version.
    FileNotFoundError
        The directory, or an index file of an early version, is not there.
    """
    folder = Path(directory)
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no directory {folder}: set up the run first")
    legacy = is_legacy(version_number(version))
    sets = np.asarray(coefficients, dtype=float)
    sets = sets[None] if sets.ndim == 1 else sets
    if sets.ndim != 2 or len(sets) not in (1, 2):
        raise ValueError(
            f"coefficients have shape {np.shape(coefficients)}: give (size,), or (2, size) for "
            "two spins"
        )
    if not np.isfinite(sets).all():
        raise ValueError(f"coefficients contain {np.sum(~np.isfinite(sets))} NaN or infinity")
    if (folder / NAME).exists():
        basis = read_basis_info(folder)
        basis.check_atoms(len(atoms))
        if sets.shape[1] != basis.size:
            raise ValueError(
                f"there are {sets.shape[1]} coefficients, but {folder / NAME} has {basis.size} "
                "functions: is it the basis of the model?"
            )
    if legacy:
        for name in INDEX_FILES:
            file_of_run(folder, name, f"FHI-aims {version} writes it {_WRITES_INDICES}")
        order = read_native_order(folder)
        if len(order.index) != sets.shape[1]:
            raise ValueError(
                f"there are {sets.shape[1]} coefficients, but the index files of {folder} have "
                f"{len(order.index)} functions"
            )
        sets = np.array([order.to_native(one) for one in sets])
    first = folder / COEFFICIENTS
    paths = [first, beta_file(first)][: len(sets)]
    for path, values in zip(paths, sets, strict=True):
        write_vector(path, values)
    if len(paths) == 1:  # a second spin of an earlier run belongs to other coefficients
        beta_file(first).unlink(missing_ok=True)
    return paths
