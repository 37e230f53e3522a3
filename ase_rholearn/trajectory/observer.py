"""Densities along a molecular dynamics or a relaxation, as it goes on."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from ase import Atoms

from ..basis import Basis
from ..density import Density
from .quantities import Quantities
from .writer import FrameWriter, is_frame_file, open_writer


class FolderWriter:
    """Writes a cube of each frame into a folder, and a table of dipole moments.

    ``dipoles.csv`` gets one line a frame (number, dipole in e Angstrom, for molecules), and
    ``density_00000.cube`` and so on are the densities.

    Parameters
    ----------
    folder
        It is made with the first frame.
    cubes
        Whether to write cubes.
    spacing
        Of the cubes, Angstrom.
    """

    def __init__(
        self, folder: str | os.PathLike[str], *, cubes: bool = True, spacing: float = 0.2
    ) -> None:
        self.folder = Path(folder)
        self.count = 0
        self.last: Atoms | None = None
        self._cubes = cubes
        self._spacing = spacing

    def write(self, atoms: Atoms, rho: Density) -> None:
        """Write what belongs to the density of a structure."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if self._cubes:
            rho.write(self.folder / f"density_{self.count:05d}.cube", spacing=self._spacing)
        if not atoms.pbc.any():
            self._append_dipole(rho.dipole())
        self.count += 1

    def flush(self) -> None:
        """Files are complete as soon as they are written."""

    def close(self) -> None:
        """Nothing is open between frames."""

    def _append_dipole(self, dipole: np.ndarray) -> None:
        with (self.folder / "dipoles.csv").open("a" if self.count else "w") as stream:
            if self.count == 0:
                stream.write("call,x_eA,y_eA,z_eA\n")
            stream.write(f"{self.count}," + ",".join(f"{x:.8f}" for x in dipole) + "\n")


class DensityObserver:
    """Writes what belongs to the density of a structure each time that it is called.

    Parameters
    ----------
    density_of
        The density of a structure.
    atoms
        The structure that the dynamics moves.
    path
        A file of frames, see :func:`~ase_rholearn.trajectory.open_writer`, or a folder, see
        :class:`FolderWriter`.
    basis, model
        Of the densities, for the header of a file.
    quantities
        What a file gets of each frame; the dipole moment if left out.
    append
        Go on with a file that there is, instead of replacing it.
    cubes, spacing
        For a folder.

    Attributes
    ----------
    count : int
        Frames that were written.
    """

    def __init__(
        self,
        density_of: Callable[[Atoms], Density],
        atoms: Atoms,
        path: str | os.PathLike[str],
        basis: Basis,
        *,
        model: str = "",
        quantities: Quantities | None = None,
        append: bool = False,
        cubes: bool = True,
        spacing: float = 0.2,
    ) -> None:
        self.atoms = atoms
        self._density_of = density_of
        self._writer: FrameWriter
        stack = ExitStack()
        # a script that ends without close() leaves a whole file too
        self._finalizer = weakref.finalize(self, stack.close)
        if is_frame_file(path):
            self._writer = stack.enter_context(
                open_writer(
                    path,
                    quantities or Quantities(),
                    basis,
                    model=model,
                    overwrite=not append,
                )
            )
        elif quantities is not None or append:
            raise ValueError(
                f"path is {os.fspath(path)!r}, a folder: quantities and append are for files, "
                "whose names end in .extxyz or .h5"
            )
        else:
            self._writer = FolderWriter(path, cubes=cubes, spacing=spacing)

    def __call__(self) -> None:
        """Write the density of the present structure."""
        self._writer.write(self.atoms, self._density_of(self.atoms))
        self._writer.flush()

    def __enter__(self) -> DensityObserver:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def count(self) -> int:
        """Frames that were written."""
        return self._writer.count

    def close(self) -> None:
        """Close the file; also done when the observer goes away."""
        self._finalizer()
