"""What densities and their differences have in common: values in space."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from ase import Atoms, units
from numpy.typing import DTypeLike

from .electrostatics import quantities
from .electrostatics.potential import AtomCharge
from .evaluation.grid_task import GridTask
from .evaluation.points import evaluate_at_points
from .evaluation.terms import AtomTerms
from .files import write_grid
from .frame import grid_frame
from .grid import Grid
from .pictures.drawable import Drawable

#: Default bound for what is neglected in one term of one atom, e/bohr^3. All terms and
#: periodic images together then stay below 1e-9 e/Angstrom^3, in cells of any size.
TOLERANCE = 1e-12

#: Terms that reach over fewer steps of a grid are evaluated together.
_SMALLEST = 4.0

_DTYPES = {np.dtype(np.float64): torch.float64, np.dtype(np.float32): torch.float32}


class DensityField(Drawable):
    """Values at points and on grids of what is a sum over atoms, in ASE's units.

    Attributes
    ----------
    atoms : ase.Atoms
    """

    atoms: Atoms

    @abstractmethod
    def atom_terms(self, tolerance: float, smallest: float = 0.0) -> list[AtomTerms]:
        """What is summed up, see :func:`~ase_rholearn.density.evaluation.terms.density_terms`."""

    @abstractmethod
    def atom_charges(self) -> list[AtomCharge]:
        """Nuclei and electrons of each atom as a distribution of charge, in atomic units."""

    @abstractmethod
    def _metadata(self) -> dict[str, Any]:
        """What a file of a grid says of the values; ``quantity`` is the comment of cubes."""

    def evaluate(self, points: Any, *, tolerance: float = TOLERANCE) -> np.ndarray:
        """Value at points (n, 3) in Angstrom: shape (n,), e/Angstrom^3.

        ``tolerance`` bounds what is neglected in each term, in e/bohr^3.
        """
        return self._at_points(points, "value", tolerance) / units.Bohr**3

    def gradient(self, points: Any, *, tolerance: float = TOLERANCE) -> np.ndarray:
        """Gradient at points (n, 3) in Angstrom: shape (n, 3), e/Angstrom^4."""
        return self._at_points(points, "gradient", tolerance) / units.Bohr**4

    def laplacian(self, points: Any, *, tolerance: float = TOLERANCE) -> np.ndarray:
        """Laplacian at points (n, 3) in Angstrom: shape (n,), e/Angstrom^5."""
        return self._at_points(points, "laplacian", tolerance) / units.Bohr**5

    def frame(
        self,
        spacing: float = 0.1,
        margin: float = 3.0,
        *,
        shape: tuple[int, int, int] | None = None,
    ) -> Grid:
        """Where the grid of :meth:`on_grid` lies: an empty one, see :func:`grid_frame`."""
        return grid_frame(self.atoms, spacing, margin, shape)

    def on_grid(
        self,
        spacing: float = 0.1,
        margin: float = 3.0,
        *,
        shape: tuple[int, int, int] | None = None,
        tolerance: float = TOLERANCE,
        core: str = "point",
        dtype: DTypeLike = np.float64,
        device: torch.device | str | None = None,
        progress: bool = False,
    ) -> Grid:
        """Values on a uniform grid: over the cell, or over a box around a molecule.

        Parameters
        ----------
        spacing
            Largest distance of neighbouring points along an axis, Angstrom.
        margin
            Space beyond the outermost nuclei in directions that are not periodic,
            Angstrom.
        shape
            Points along each axis, instead of ``spacing``.
        tolerance
            Bound for what is neglected in each term, e/bohr^3. 1e-6, with errors of some
            1e-6 to 1e-5 e/bohr^3, is enough for pictures and takes 60 to 80 % of the time.
        core
            ``"point"``: values at the points. Their sum misses electrons of the cores, which
            are narrower than voxels: an electron of the 26 of ethanol at 0.2 Angstrom.
            ``"voxel-average"``: narrow functions are averaged over the voxel around each
            point, so that the sum keeps their electrons, but the values next to nuclei are no
            longer those of the density.
        dtype
            ``float64`` or ``float32``. Single precision takes half of the memory; values are
            right to some 1e-7 of the largest one, which is at a nucleus.
        device
            Of torch, where the work is done; the processor, with torch's number of threads, if
            left out.
        progress
            Show a bar on a terminal if it takes longer than some seconds.
        """
        return self.on_frame(
            self.frame(spacing, margin, shape=shape),
            tolerance=tolerance,
            core=core,
            dtype=dtype,
            device=device,
            progress=progress,
        )

    def on_frame(self, frame: Grid, *, progress: bool = False, **options: Any) -> Grid:
        """Values at the points of another grid, whose values are ignored.

        ``options`` are ``tolerance``, ``core``, ``dtype`` and ``device`` of :meth:`on_grid`.
        """
        values = self._grid_task(frame, **options).values(progress=progress)
        values *= 1 / units.Bohr**3  # as the slabs of iterate_frame, to the last digit
        return Grid(values, frame.origin, frame.cell)

    def iterate_grid(
        self,
        spacing: float = 0.1,
        margin: float = 3.0,
        *,
        shape: tuple[int, int, int] | None = None,
        memory: float = 2**28,
        progress: bool = False,
        **options: Any,
    ) -> Iterator[tuple[range, np.ndarray]]:
        """The grid of :meth:`on_grid` in slabs along the first axis, in order.

        For grids that do not fit into memory, or are written as they come. Where the grid
        lies is said by :meth:`frame`.

        Parameters
        ----------
        spacing, margin, shape, **options
            As for :meth:`on_grid`.
        memory
            Bytes that the values of one slab may take; the work needs some 200 MB besides.
        progress
            Show a bar on a terminal if it takes longer than some seconds.

        Yields
        ------
        range
            Indices i of the planes.
        numpy.ndarray
            Their values in e/Angstrom^3: shape (len(range), ny, nz). Every slab is an array
            of its own.
        """
        frame = self.frame(spacing, margin, shape=shape)
        return self.iterate_frame(frame, memory=memory, progress=progress, **options)

    def iterate_frame(
        self, frame: Grid, *, memory: float = 2**28, progress: bool = False, **options: Any
    ) -> Iterator[tuple[range, np.ndarray]]:
        """Like :meth:`iterate_grid`, at the points of another grid, whose values are ignored."""
        if not memory > 0:
            raise ValueError(f"memory is {memory}: give a positive number of bytes")
        task = self._grid_task(frame, **options)
        return task.iterate(memory, scale=1 / units.Bohr**3, progress=progress)

    # electrostatics ----------------------------------------------------------------

    def potential(self, points: Any) -> np.ndarray:
        """Electrostatic potential of nuclei and electrons at points (n, 3) in Angstrom.

        In closed form; infinite at a nucleus. For molecules it goes to zero far away. For
        crystals, whose point nuclei (or cores) keep their whole potential, its average over
        the cell is zero; for slabs, periodic in two directions, it is zero halfway between the
        constants that it reaches on the two sides.

        Returns
        -------
        numpy.ndarray
            Shape (n,), V: the energy of a positive unit charge in eV.

        Raises
        ------
        ValueError
            The cell is charged, or periodic in one direction only.
        """
        return quantities.potential(self, check_points(points))

    def electric_field(self, points: Any) -> np.ndarray:
        """Electric field, minus the gradient of :meth:`potential`: shape (n, 3), V/Angstrom.

        Raises
        ------
        ValueError
            As for :meth:`potential`, or a point is at a nucleus.
        """
        return quantities.electric_field(self, check_points(points))

    def potential_on_grid(
        self,
        spacing: float = 0.2,
        margin: float = 3.0,
        *,
        shape: tuple[int, int, int] | None = None,
        nuclei: str = "point",
    ) -> Grid:
        """:meth:`potential` on a uniform grid: V.

        Parameters
        ----------
        spacing, margin, shape
            As for :meth:`on_grid`.
        nuclei
            ``"point"``: infinite at a grid point that is at a nucleus. ``"smeared"``: finite
            everywhere, with Gaussians for nuclei whose standard deviation is half of the
            spacing; for files and pictures.
        """
        frame = self.frame(spacing, margin, shape=shape)
        return quantities.potential_on_frame(self, frame, nuclei=nuclei)

    # files -------------------------------------------------------------------------

    def write(
        self,
        path: str | os.PathLike[str],
        *,
        spacing: float = 0.1,
        margin: float = 3.0,
        core: str = "point",
        progress: bool = False,
    ) -> None:
        """Write the values on a grid, in a format of :func:`~ase_rholearn.density.write_grid`.

        The name says which: cube, CHGCAR, XSF, npz, HDF5. The grid is written as it is computed,
        so that it need not fit into memory; the options are those of :meth:`on_grid`.
        """
        frame = self.frame(spacing, margin)
        slabs = self.iterate_frame(frame, core=core, progress=progress)
        metadata = {**self._metadata(), "spacing": spacing}
        write_grid(
            path,
            self.atoms,
            frame,
            comment=metadata["quantity"],
            metadata=metadata,
            slabs=(values for _, values in slabs),
        )

    # inside ------------------------------------------------------------------------

    def _grid_task(
        self,
        frame: Grid,
        *,
        tolerance: float = TOLERANCE,
        core: str = "point",
        dtype: DTypeLike = np.float64,
        device: torch.device | str | None = None,
    ) -> GridTask:
        if core not in ("point", "voxel-average"):
            raise ValueError(f'core is {core!r}: give "point" or "voxel-average"')
        if np.dtype(dtype) not in _DTYPES:
            raise ValueError(f"dtype is {dtype!r}: give float64 or float32")
        _check_tolerance(tolerance)
        cell = frame.cell / units.Bohr
        steps = np.linalg.norm(cell, axis=1) / frame.shape
        return GridTask(
            self.atom_terms(tolerance, _SMALLEST * float(steps.max())),
            frame.origin / units.Bohr,
            cell,
            frame.shape,
            self.atoms.cell.array / units.Bohr,
            self.atoms.pbc,
            average=core == "voxel-average",
            dtype=_DTYPES[np.dtype(dtype)],
            tolerance=tolerance,
            device=device,
        )

    def _at_points(self, points: Any, derivative: str, tolerance: float) -> np.ndarray:
        points = check_points(points)
        _check_tolerance(tolerance)
        return evaluate_at_points(
            self.atom_terms(tolerance),
            points / units.Bohr,
            self.atoms.cell.array / units.Bohr,
            self.atoms.pbc,
            derivative=derivative,
        )


def check_points(points: Any) -> np.ndarray:
    """Points as an array (n, 3), after checks."""
    points = np.asarray(points, dtype=float)
    if points.ndim != 2 or points.shape[1] != 3:
        raise ValueError(f"points has shape {points.shape}: give (n, 3) in Angstrom")
    if not np.isfinite(points).all():
        raise ValueError("points contains NaN or infinity: give finite coordinates")
    return points


def _check_tolerance(tolerance: float) -> None:
    if not tolerance > 0:
        raise ValueError(f"tolerance is {tolerance}: give a positive density in e/bohr^3")
