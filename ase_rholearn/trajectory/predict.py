"""Predicting the densities of trajectories of any length."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from ase import Atoms

from ..bonds import molecules
from ..density import Density, Grid, grid_frame
from ..model import DensityModel
from .batches import BATCH_ATOMS, NAMED, batches
from .quantities import Quantities
from .reading import Survey, frames, survey
from .writer import HDF5, FrameWriter, check_output, open_writer

#: How far coordinates that went through a file may be off, Angstrom.
_SAME = 1e-6


def predict_trajectory(
    model: DensityModel,
    structures: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    quantities: Quantities | None = None,
    *,
    overwrite: bool = False,
    batch_atoms: int = BATCH_ATOMS,
    on_survey: Callable[[], None] = lambda: None,
    on_frame: Callable[[int, int], None] = lambda done, total: None,
) -> int:
    """Predict the densities of all frames and keep what follows from them in a file.

    Frames are read, predicted and written in batches, so that memory does not grow with their
    number. They are all checked first. A run that was killed goes on where it stopped, if it
    is started again; so does one whose input has grown.

    Parameters
    ----------
    model
        Predicts the coefficients.
    structures
        Files that ASE reads.
    output
        File of the result, see :func:`~ase_rholearn.trajectory.open_writer`.
    quantities
        What to keep of each frame; the dipole moment if left out.
    overwrite
        Begin anew, if there is such a file.
    batch_atoms
        How many atoms are predicted together.
    on_survey
        Called for every frame that was checked.
    on_frame
        Called with the number of frames done and of all frames, at the start and for
        every frame that was written.

    Returns
    -------
    int
        Frames in the file.

    Raises
    ------
    FileNotFoundError, ValueError
        A file cannot be read, a frame not be predicted, or the output belongs to something
        else.
    """
    if isinstance(structures, str | os.PathLike):
        structures = [structures]
    paths = [Path(path) for path in structures]
    output, quantities = Path(output), quantities or Quantities()
    check_output(output, quantities)
    found = survey(model, paths, on_frame=on_survey)
    _check_survey(found, output, quantities)
    box = _box(found, quantities)
    name = model.card.name
    with open_writer(
        output, quantities, model.basis, model=name, box=box, overwrite=overwrite
    ) as writer:
        rest = frames(paths, found.counts)
        _skip(rest, writer, output)
        total = sum(found.counts)
        on_frame(writer.count, total)
        alarm = model.alarm(NAMED)
        for group in batches(rest, batch_atoms):
            alarm.look(group)
            for atoms, coefficients in zip(group, model.coefficients(group), strict=True):
                writer.write(atoms, Density(atoms, model.basis, coefficients))
                on_frame(writer.count, total)
            writer.flush()
        return writer.count


def _check_survey(found: Survey, output: Path, quantities: Quantities) -> None:
    if output.suffix.lower() in HDF5 and not found.same_atoms:
        raise ValueError(
            f"the frames differ in their atoms or pbc, and {output} holds frames of the same "
            "atoms: give a name that ends in .extxyz"
        )
    if quantities.molecular_dipoles:
        molecules(found.first)  # has an error for bonds without end


def _box(found: Survey, quantities: Quantities) -> Grid | None:
    """A grid that holds a molecule in all frames."""
    if quantities.field is None or found.first.pbc.any():
        return None
    corners = Atoms("X2", positions=np.stack([found.low, found.high]))
    return grid_frame(corners, quantities.spacing, quantities.margin)


def _skip(structures: Iterator[Atoms], writer: FrameWriter, output: Path) -> None:
    """Leave out what the output has, after a look whether it is the same."""
    last = None
    for last in islice(structures, writer.count):  # noqa: B007 (the last one is used)
        pass
    if writer.last is None:
        return
    same = (
        last is not None
        and np.array_equal(last.numbers, writer.last.numbers)
        and np.allclose(last.positions, writer.last.positions, rtol=0, atol=_SAME)
    )
    if not same:
        raise ValueError(
            f"frame {writer.count - 1} of {output} is another structure than that of the input: "
            "give another name, or overwrite it"
        )
