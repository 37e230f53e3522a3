"""``ri_ovlp.out``: the overlap matrix of the product basis, as text of both layouts.

The file has every number of the matrix, row after row, or (``ri_ovlp_write_triu``) those of the
upper triangle. As text it has some 25 bytes a number, so that it is read once, when the run ends,
and kept as ``ri_ovlp.npy``, in standard order.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..files import temporary_sibling
from .native_order import NativeOrder
from .number_files import count_lines, finite_blocks, write_vector

NAME, BINARY = "ri_ovlp.out", "ri_ovlp.npy"

#: By how much two elements that symmetry makes equal may differ, relative to the largest.
_ASYMMETRY = 1e-6

#: Numbers of a matrix that are mirrored or compared at once.
_NUMBERS = 2**18


def read_overlap(
    directory: str | os.PathLike[str], size: int, order: NativeOrder | None = None
) -> np.ndarray:
    """Overlap matrix of a run in standard order: shape (size, size).

    ``ri_ovlp.npy`` is taken where it is newer than the text, or the text is gone.

    Parameters
    ----------
    directory
        Of the run.
    size
        Functions of the basis.
    order
        Of files of early versions, which are brought to the standard order.

    Raises
    ------
    FileNotFoundError
        The directory has neither file.
    ValueError
        Another number of lines than either layout has, a line that is not one finite number, or
        a matrix that is not symmetric.
    """
    text, binary = Path(directory) / NAME, Path(directory) / BINARY
    if binary.exists() and not (text.exists() and text.stat().st_mtime > binary.stat().st_mtime):
        return read_binary(binary, size)
    matrix = np.empty((size, size))
    _fill(matrix, text, order)
    return matrix


def store_overlap(
    directory: str | os.PathLike[str],
    size: int,
    order: NativeOrder | None = None,
    *,
    remove_text: bool = False,
) -> Path:
    """Bring the text into ``ri_ovlp.npy``, in standard order, and return that file.

    The matrix goes to the file as it is read, in either order: memory stays far below its size.

    Parameters
    ----------
    directory, size, order
        As for :func:`read_overlap`, which reads the result.
    remove_text
        Whether the text is removed afterwards.
    """
    text, binary = Path(directory) / NAME, Path(directory) / BINARY
    with temporary_sibling(binary) as temporary:
        mapped = np.lib.format.open_memmap(
            temporary, mode="w+", dtype=np.float64, shape=(size, size)
        )
        _fill(mapped, text, order)
        mapped.flush()
        del mapped
    if remove_text:
        text.unlink()
    return binary


def check_layout(path: str | os.PathLike[str], size: int) -> bool:
    """Whether a file has the upper triangle of a matrix of shape (size, size), or all of it.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        It has another number of lines than either layout.
    """
    full, triangle = size * size, size * (size + 1) // 2
    lines = count_lines(path)
    if lines not in (full, triangle):
        nearest = min((full, triangle), key=lambda n: abs(n - lines))
        problem = "truncated" if lines < nearest else "too long"
        raise ValueError(
            f"{path}, line {min(lines, nearest) + 1}: the file is {problem}, or of another basis: "
            f"it has {lines} lines, but for {size} functions there are {triangle} (upper triangle) "
            f"or {full}"
        )
    return lines == triangle


def write_overlap(
    path: str | os.PathLike[str], matrix: np.ndarray, *, triangle: bool = True
) -> None:
    """Write a matrix as FHI-aims does: its upper triangle row by row, or all of it."""
    matrix = np.asarray(matrix, dtype=float)
    write_vector(path, matrix[np.triu_indices(len(matrix))] if triangle else matrix)


def read_binary(path: str | os.PathLike[str], size: int) -> np.ndarray:
    """A matrix that :func:`store_overlap` has written, which stays on disk: shape (size, size).

    Raises
    ------
    ValueError
        The file is damaged, or of another basis.
    """
    try:
        matrix = np.load(path, mmap_mode="r")
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path} is truncated or damaged ({error}): run the fit again") from error
    if matrix.shape != (size, size) or matrix.dtype != np.float64:
        raise ValueError(
            f"{path} holds {matrix.dtype} of shape {matrix.shape}, but the basis has {size} "
            f"functions: remove it, so that {NAME} is read, or run the fit again"
        )
    return np.asarray(matrix)


def _fill(matrix: np.ndarray, path: Path, order: NativeOrder | None = None) -> None:
    """Read a file of either layout into a matrix of shape (size, size), in standard order."""
    size = len(matrix)
    if order is not None and len(order.index) != size:
        raise ValueError(f"order is of {len(order.index)} functions, but the basis has {size}")
    triangle = check_layout(path, size)
    for row, columns, values in _row_parts(path, size, triangle):
        if order is None:
            matrix[row, columns] = values
        else:
            target, sign = order.places[row], order.signs[row]
            matrix[target, order.places[columns]] = values * (sign * order.signs[columns])
    # where each function is in the file
    rank = np.arange(size) if order is None else order.index
    if triangle:
        _mirror(matrix, rank)
    else:
        _check_symmetric(matrix, rank, path)


def _row_parts(path: Path, size: int, triangle: bool) -> Iterator[tuple[int, slice, np.ndarray]]:
    """Pieces of the rows of a file, one after the other: row, columns, numbers."""
    row, column = 0, 0
    for block in finite_blocks(path):
        start = 0
        while start < len(block):
            part = block[start : start + size - column]
            yield row, slice(column, column + len(part)), part
            start += len(part)
            column += len(part)
            if column == size:
                row += 1
                column = row if triangle else 0


def _blocks(size: int) -> Iterator[slice]:
    """Rows of a matrix of shape (size, size) that are looked at together."""
    rows = max(_NUMBERS // size, 1)
    for start in range(0, size, rows):
        yield slice(start, min(start + rows, size))


def _mirror(matrix: np.ndarray, rank: np.ndarray) -> None:
    """Copy the upper triangle, in an order of the functions, to the lower one."""
    for rows in _blocks(len(matrix)):
        lower = rank[rows, None] > rank
        np.copyto(matrix[rows], matrix[:, rows].T, where=lower)


def _check_symmetric(matrix: np.ndarray, rank: np.ndarray, path: Path) -> None:
    """Raise a ValueError if a matrix is not symmetric up to integration errors."""
    largest = np.abs(matrix.diagonal()).max()
    for rows in _blocks(len(matrix)):
        difference = np.abs(matrix[rows] - matrix[:, rows].T)
        if difference.max() > _ASYMMETRY * largest:
            i, j = np.unravel_index(difference.argmax(), difference.shape)
            first, second = rows.start + int(i), int(j)
            line = rank[first] * len(matrix) + rank[second] + 1
            raise ValueError(
                f"{path}, line {line}: the matrix is not symmetric: {matrix[first, second]} and "
                f"{matrix[second, first]}"
            )
