"""Extended xyz files that grow by a frame at a time and can be gone on with after a kill."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from ..density import Density
from ..structure_files import TruncatedFrameError, atoms_of_xyz, xyz_frames
from .quantities import Quantities

#: Results that ASE gives back when it reads the file.
_RESULTS = ("dipole", "charges")


class ExtxyzWriter:
    """Appends frames to an extended xyz file.

    Dipole and charges are results, so that ``atoms.get_dipole_moment()`` works on a structure
    that ASE reads from the file; so are energies and forces that a structure came with.
    ``info`` has the ``model``, the ``charges_scheme`` and the ``molecular_dipoles``, the array
    ``molecule`` the number of each atom's molecule.

    Parameters
    ----------
    path
        The file. Frames that it has are kept; one that is cut off at the end, as a kill
        leaves it, is removed.
    quantities
        What each frame gets; no field.
    model
        Name of the model.

    Attributes
    ----------
    count : int
        Frames in the file.
    last : ase.Atoms or None
        The last frame of the file when it was opened.

    Raises
    ------
    ValueError
        The file was made with other settings.
    """

    def __init__(
        self, path: str | os.PathLike[str], quantities: Quantities, *, model: str = ""
    ) -> None:
        self.path = Path(path)
        self._quantities = quantities
        self._labels = {"model": model, "charges_scheme": quantities.charges or "none"}
        self.count, whole, self.last = _scan(self.path) if self.path.exists() else (0, 0, None)
        self._check_labels()
        self._stream = self.path.open("ab")
        self._stream.truncate(whole)

    def write(self, atoms: Atoms, rho: Density) -> None:
        """Append a structure with what belongs to its density."""
        found = self._quantities.per_frame(rho)
        text = io.StringIO()
        write(text, _labelled(atoms, found, self._labels), format="extxyz")
        self._stream.write(text.getvalue().encode())
        self._stream.flush()
        self.count += 1

    def flush(self) -> None:
        """Every frame is in the file as soon as it is written."""

    def close(self) -> None:
        """Close the file, which is on the disk then."""
        if not self._stream.closed:
            self._stream.flush()
            os.fsync(self._stream.fileno())
            self._stream.close()

    def _check_labels(self) -> None:
        if self.last is None:
            return
        for name, value in self._labels.items():
            found = self.last.info.get(name, "")
            if found != value:
                raise ValueError(
                    f"{self.path} was made with {name} {found!r}, not {value!r}: give another "
                    "name, or overwrite it"
                )
        if ("molecular_dipoles" in self.last.info) != self._quantities.molecular_dipoles:
            raise ValueError(
                f"{self.path} differs in molecular_dipoles: give another name, or overwrite it"
            )


def _labelled(atoms: Atoms, found: dict[str, np.ndarray], labels: dict[str, str]) -> Atoms:
    """A copy of a structure with results, and with what has no place among them."""
    copy = atoms.copy()
    results: dict[str, Any] = dict(atoms.calc.results) if atoms.calc is not None else {}
    results = {name: value for name, value in results.items() if name not in _RESULTS}
    results.update({name: found[name] for name in _RESULTS if name in found})
    copy.info.update(labels)
    if "molecular_dipoles" in found:
        copy.set_array("molecule", found["molecules"])
        copy.info["molecular_charges"] = found["molecular_charges"]
        copy.info["molecular_dipoles"] = found["molecular_dipoles"]
    copy.calc = SinglePointCalculator(copy, **results)
    return copy


def _scan(path: Path) -> tuple[int, int, Atoms | None]:
    """Number of whole frames of a file, bytes that they take, and the last of them."""
    count, end, last = 0, 0, b""
    with path.open("rb") as stream:
        try:
            for text in xyz_frames(stream):
                if not text.endswith(b"\n"):
                    break
                count, end, last = count + 1, end + len(text), text
        except TruncatedFrameError:
            pass
        except ValueError as error:
            raise ValueError(
                f"{path} is not an extended xyz file of ase_rholearn ({error}): give another "
                "name, or overwrite it"
            ) from error
    return count, end, atoms_of_xyz(last) if last else None
