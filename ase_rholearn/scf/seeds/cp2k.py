"""CP2K: a cube for SCF_GUESS EXTERNAL_DENSITY, and the input that goes with it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from ase import Atoms

from ...density import Density, write_cp2k_density
from ...files import atomic_write
from .valence import check_valence, valence_charges

_INPUT = """\
! Start from a density, in CP2K of September 2026 or later: semilocal functionals, GPW, no spin.
! CP2K does not interpolate: its finest grid must have {points} points ("number of points" in
! its output), which follow from CUTOFF in &MGRID and from the cell.
&FORCE_EVAL
  METHOD QUICKSTEP
  &DFT
    &SCF
      SCF_GUESS EXTERNAL_DENSITY
      EXTERNAL_DENSITY_FILE_NAME {cube}
    &END SCF
  &END DFT
  &SUBSYS
    &CELL
{cell}
      PERIODIC XYZ
    &END CELL
    &COORD
{positions}
    &END COORD
{kinds}
  &END SUBSYS
&END FORCE_EVAL
"""


def write_cp2k_start(
    path: str | os.PathLike[str],
    density: Density,
    shape: tuple[int, int, int],
    potentials: Mapping[str, float | str],
) -> float:
    """Write a cube that CP2K starts from, and beside it (suffix ``.inp``) a piece of input.

    The input has the entries of the start, cell, atoms and pseudopotentials: what the density
    belongs to. Basis sets, functional and cut-offs are yours to add.

    Parameters
    ----------
    path
        The cube; files appear complete or not at all.
    density
        Of the valence electrons of CP2K's pseudopotentials.
    shape
        Points of CP2K's finest grid along each axis.
    potentials
        By chemical symbol, names of pseudopotentials such as ``"GTH-PBE-q4"``, or valence
        electrons.

    Returns
    -------
    float
        Electrons that the sum over the grid has.

    Raises
    ------
    ValueError
        The density is all-electron, not periodic or has other numbers of valence electrons; both
        are named.
    """
    path = Path(path)
    check_valence(density, valence_charges(potentials), "CP2K")
    electrons = write_cp2k_density(path, density, shape)
    with atomic_write(path.with_suffix(".inp")) as stream:
        stream.write(_input(density.atoms, path.name, shape, potentials).encode("ascii"))
    return electrons


def _input(
    atoms: Atoms, cube: str, shape: tuple[int, int, int], potentials: Mapping[str, float | str]
) -> str:
    vectors = zip("ABC", atoms.cell.array.tolist(), strict=True)
    return _INPUT.format(
        points=" x ".join(map(str, shape)),
        cube=cube,
        cell="\n".join(f"      {name} {_numbers(vector)}" for name, vector in vectors),
        positions="\n".join(
            f"      {atom.symbol} {_numbers(atom.position.tolist())}" for atom in atoms
        ),
        kinds="\n".join(
            f"    &KIND {symbol}\n      {_potential(potentials[symbol])}\n    &END KIND"
            for symbol in dict.fromkeys(atoms.symbols)
        ),
    )


def _potential(given: float | str) -> str:
    """The entry of a pseudopotential; of a number, which has no name, only a remark."""
    name = str(given)
    return f"POTENTIAL {name}" if "-" in name else f"! POTENTIAL with {name} valence electrons"


def _numbers(vector: list[float]) -> str:
    return " ".join(f"{x:.10f}" for x in vector)
