"""A fit of FHI-aims on its product basis: ``ri_restart_coeffs.out`` and what is beside it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from .basis_info import BasisInfo, read_basis_info
from .native_order import NativeOrder, read_native_order
from .number_files import read_vector
from .overlap import BINARY, read_overlap, store_overlap
from .overlap import NAME as OVERLAP
from .versions import is_legacy, version_of_directory

COEFFICIENTS, PROJECTIONS = "ri_restart_coeffs.out", "ri_projections.out"

#: What a set of files of a spin-polarised run can give.
Channel = Literal["total", "alpha", "beta", "difference"]

#: Largest residual of S c = w, relative to the sum of its terms' sizes. Digits lost in text or a
#: wrong order of files are far above.
_RESIDUAL = 1e-8


@dataclass(frozen=True)
class RIFit:
    """A density on FHI-aims' product basis, in atomic units and standard order.

    Vectors run over atoms in the order of ``geometry.in``, l, n, and m from -l to l.

    Attributes
    ----------
    basis
        Radial functions of every atom.
    coefficients
        Of the functions, whose norm is FHI-aims' own: shape (size,).
    projections
        Integrals of the functions times the density: shape (size,); or None.
    overlap
        Of the functions: shape (size, size); or None.
    version
        Of FHI-aims, as YYMMDD.
    channel
        ``"total"``: the density; else that of one spin, ``"alpha"`` or ``"beta"``, or the
        ``"difference"`` of both.
    spin_polarized
        Whether the run had two spin channels.
    """

    basis: BasisInfo
    coefficients: np.ndarray
    projections: np.ndarray | None = None
    overlap: np.ndarray | None = None
    version: int = 0
    channel: Channel = "total"
    spin_polarized: bool = False

    def __post_init__(self) -> None:
        size = self.basis.size
        for name, shape in (
            ("coefficients", (size,)),
            ("projections", (size,)),
            ("overlap", (size, size)),
        ):
            values = getattr(self, name)
            if values is not None and values.shape != shape:
                raise ValueError(
                    f"{name} have shape {values.shape}, but the basis {size} functions"
                )
        if self.channel not in get_args(Channel):
            raise ValueError(f"channel is {self.channel!r}: give one of {get_args(Channel)}")

    def residual(self) -> float:
        """Largest element of S c - w; needs overlap and projections."""
        if self.overlap is None or self.projections is None:
            raise ValueError("the residual of a fit needs its overlap and its projections")
        return float(np.abs(self.overlap @ self.coefficients - self.projections).max())


def read_ri_fit(
    directory: str | os.PathLike[str],
    version: str | int | None = None,
    *,
    channel: Channel = "total",
    check: bool = True,
) -> RIFit:
    """Read coefficients, projections and overlap of a run with ``ri_density_restart``.

    Parameters
    ----------
    directory
        Of the run; it needs ``basis_info.out`` and ``ri_restart_coeffs.out``.
    version
        Of FHI-aims, such as ``"240925"``. Left out, ``aims.out`` says it.
    channel
        What is read of a spin-polarised run, which has a second set of files that end in
        ``_beta``: by default the sum of both.
    check
        Whether S c = w is checked where all three are there; that is what finds files of
        different runs, and any wrong order.

    Raises
    ------
    FileNotFoundError
        A file that is needed is not there.
    ValueError
        The version is unknown, files have other lengths than the basis, a line is not one finite
        number, or S c = w does not hold. The message names file and line.
    """
    folder = Path(directory)
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no directory {folder}")
    known = version_of_directory(folder, version)
    basis = read_basis_info(folder)
    order = _order_of(folder, known, basis)
    spin_polarized = beta_file(folder / COEFFICIENTS).exists()
    if channel not in ("total", "alpha") and not spin_polarized:
        raise ValueError(f"channel is {channel!r}, but {folder} is of a run without spin")

    def vector(name: str) -> np.ndarray:
        parts = []
        for file in _files(folder / name, channel, spin_polarized):
            values = read_vector(file, basis.size)
            parts.append(values if order is None else order.to_standard(values))
        return parts[0] - parts[1] if channel == "difference" else sum(parts[1:], parts[0])

    projected = all(f.exists() for f in _files(folder / PROJECTIONS, channel, spin_polarized))
    fit = RIFit(
        basis,
        vector(COEFFICIENTS),
        vector(PROJECTIONS) if projected else None,
        read_overlap(folder, basis.size, order)
        if (folder / OVERLAP).exists() or (folder / BINARY).exists()
        else None,
        known,
        channel,
        spin_polarized,
    )
    if check and fit.projections is not None and fit.overlap is not None:
        _check_residual(fit, folder)
    return fit


def shrink_overlap(directory: str | os.PathLike[str], *, remove_text: bool = True) -> None:
    """Bring the text of a run's overlap, if there is one, into ``ri_ovlp.npy``.

    Parameters
    ----------
    directory
        Of the run.
    remove_text
        Whether the text is removed afterwards.

    Raises
    ------
    ValueError, FileNotFoundError
        As for :func:`read_ri_fit`.
    """
    folder = Path(directory)
    if not (folder / OVERLAP).exists():
        return
    known, basis = version_of_directory(folder), read_basis_info(folder)
    store_overlap(folder, basis.size, _order_of(folder, known, basis), remove_text=remove_text)


def _order_of(folder: Path, version: int, basis: BasisInfo) -> NativeOrder | None:
    """How the files of a run are ordered, if not in the standard way."""
    if not is_legacy(version):
        return None
    order = read_native_order(folder)
    order.check(basis.layout, folder)
    return order


def beta_file(path: Path) -> Path:
    """The file of the second spin."""
    return path.with_name(f"{path.stem}_beta{path.suffix}")


def _files(path: Path, channel: Channel, spin_polarized: bool) -> list[Path]:
    """What has to be read for a vector of a channel."""
    if not spin_polarized or channel == "alpha":
        return [path]
    return [beta_file(path)] if channel == "beta" else [path, beta_file(path)]


def _check_residual(fit: RIFit, folder: Path) -> None:
    assert fit.overlap is not None
    assert fit.projections is not None
    # row by row, so that a matrix that is on disk stays there
    largest = max(np.abs(row) @ np.abs(fit.coefficients) for row in fit.overlap)
    found = fit.residual()
    if found > _RESIDUAL * largest:
        row = int(np.argmax(np.abs(fit.overlap @ fit.coefficients - fit.projections)))
        raise ValueError(
            f"{folder}: S c = w does not hold: function {row} of {COEFFICIENTS}, {PROJECTIONS} "
            f"(line {row + 1} in standard order) and {OVERLAP} is {found:.2g} off. Are they of "
            "one run and one version? check=False reads them all the same"
        )
