"""Which format a file name means."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from ase import Atoms, units

from ..grid import Grid
from .arrays import read_grid_hdf5, read_grid_npz, write_grid_hdf5, write_grid_npz
from .chgcar import read_chgcar, write_chgcar
from .cube import read_cube, write_cube
from .xsf import read_xsf, write_xsf

Format = Literal["cube", "chgcar", "xsf", "npz", "hdf5"]

_SUFFIXES: dict[str, Format] = {
    ".cube": "cube",
    ".cub": "cube",
    ".xsf": "xsf",
    ".npz": "npz",
    ".h5": "hdf5",
    ".hdf5": "hdf5",
    ".chgcar": "chgcar",
    ".chg": "chgcar",
}

#: How VASP's files begin; they have no suffix.
_VASP = ("CHGCAR", "CHG", "AECCAR", "PARCHG")

#: For messages.
KNOWN = ".cube, .xsf, .npz, .h5, .hdf5, .chgcar, .chg, or is CHGCAR, CHG, AECCAR..., PARCHG..."


def format_of(path: str | os.PathLike[str]) -> Format:
    """The format that a file's suffix or name means.

    >>> format_of("rho.cube"), format_of("run/CHGCAR"), format_of("CHGCAR_sum")
    ('cube', 'chgcar', 'chgcar')
    """
    name = Path(path).name
    found = _SUFFIXES.get(Path(path).suffix.lower())
    if found is None and name.upper().startswith(_VASP):
        found = "chgcar"
    if found is None:
        raise ValueError(f"path is {os.fspath(path)!r}: give a name that ends in {KNOWN}")
    return found


def write_grid(
    path: str | os.PathLike[str],
    atoms: Atoms,
    grid: Grid,
    *,
    comment: str = "",
    metadata: Mapping[str, Any] | None = None,
    slabs: Iterable[np.ndarray] | None = None,
) -> None:
    """Write a density on a grid to a file whose name says how.

    =============================  =======================================================
    name                           format, unit of the values
    =============================  =======================================================
    ``.cube``, ``.cub``            Gaussian cube, e/bohr^3
    ``CHGCAR...``, ``.chgcar``     VASP, density times cell volume; without PAW augmentation
    ``CHG``, ``.chg``              the same with fewer digits
    ``.xsf``                       XCrySDen, e/bohr^3
    ``.npz``; ``.h5``, ``.hdf5``   NumPy; HDF5 (needs h5py), e/Angstrom^3, without loss
    =============================  =======================================================

    Parameters
    ----------
    path
        The file appears complete or not at all.
    atoms
        The structure.
    grid
        e/Angstrom^3.
    comment
        First line of a cube.
    metadata
        What npz and HDF5 files keep beside it.
    slabs
        Values instead of those of ``grid``, see :func:`write_cube`.
    """
    match format_of(path):
        case "cube":
            write_cube(path, atoms, grid, comment=comment, slabs=slabs)
        case "xsf":
            write_xsf(path, atoms, grid, slabs=slabs)
        case "chgcar":
            short = Path(path).name.upper() == "CHG" or Path(path).suffix.lower() == ".chg"
            write_chgcar(path, atoms, grid, short=short, slabs=slabs)
        case "npz":
            write_grid_npz(path, atoms, grid, metadata=metadata, slabs=slabs)
        case "hdf5":
            write_grid_hdf5(path, atoms, grid, metadata=metadata, slabs=slabs)


def read_grid(path: str | os.PathLike[str]) -> tuple[Atoms, Grid]:
    """Structure and density on a grid, e/Angstrom^3, of a file that :func:`write_grid` knows.

    Densities in cubes and XSF files are taken to be in e/bohr^3.

    Raises
    ------
    ValueError
        The name means no known format, or the file is not of that format.
    """
    match format_of(path):
        case "cube":
            return read_cube(path)
        case "xsf":
            return read_xsf(path)
        case "chgcar":
            return read_chgcar(path)
        case "npz":
            atoms, grid, metadata = read_grid_npz(path)
        case "hdf5":
            atoms, grid, metadata = read_grid_hdf5(path)
    scale = {"e/Angstrom^3": 1.0, "e/bohr^3": units.Bohr**3}.get(metadata["unit"])
    if scale is None:
        raise ValueError(
            f"{os.fspath(path)} holds values in {metadata['unit']}, which is no unit of densities: "
            "open it with read_grid_npz or read_grid_hdf5"
        )
    return atoms, Grid(grid.values / scale, grid.origin, grid.cell)
