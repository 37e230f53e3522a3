"""Densities on FHI-aims' integration grid: ``rho_scf.out``, ``rho_rebuilt_ri.out``, weights.

The files have a line ``x y z value`` for each point. Points come in different orders where runs
have different numbers of processes, so that all are sorted by their coordinates. Whether these
are in bohr or Angstrom, no public text says.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .number_files import count_lines, finite_blocks

SCF, REBUILT, WEIGHTS = "rho_scf.out", "rho_rebuilt_ri.out", "partition_tab.out"


@dataclass(frozen=True)
class GridDensity:
    """A density, and what it is compared with, at the points of an integration grid.

    Attributes
    ----------
    points
        Coordinates as the files have them: shape (npoints, 3).
    weights
        Of the integration, bohr^3: shape (npoints,).
    scf, rebuilt
        Self-consistent density, and that of the product basis, e/bohr^3: (npoints,) or None.
    """

    points: np.ndarray
    weights: np.ndarray
    scf: np.ndarray | None = None
    rebuilt: np.ndarray | None = None

    def electrons(self) -> float:
        """Integral of the self-consistent density, or of the rebuilt one if there is no other."""
        values = self.scf if self.scf is not None else self.rebuilt
        assert values is not None
        return float(self.weights @ values)

    def nmae(self) -> float:
        """Error of the rebuilt density in percent: 100 int |rho - rho_scf| / int rho_scf.

        Raises
        ------
        ValueError
            One of both densities is not there.
        """
        if self.scf is None or self.rebuilt is None:
            raise ValueError(f"the error of a fit needs {SCF} and {REBUILT}")
        return self._error(self.rebuilt, self.scf)

    def errors_of(self, other: GridDensity) -> tuple[float, float]:
        """Errors of another rebuilt density, such as a predicted one, in percent.

        Parameters
        ----------
        other
            Of the same structure and grid.

        Returns
        -------
        tuple of float
            Against the self-consistent density, and against the fit of this run.

        Raises
        ------
        ValueError
            The points differ, or a density is not there.
        """
        if other.rebuilt is None or self.rebuilt is None or self.scf is None:
            raise ValueError(f"the error of a prediction needs {REBUILT} of both runs, and {SCF}")
        if not np.array_equal(other.points, self.points):
            raise ValueError("both densities are at different points: are they of one structure?")
        return self._error(other.rebuilt, self.scf), self._error(other.rebuilt, self.rebuilt)

    def _error(self, values: np.ndarray, reference: np.ndarray) -> float:
        """Integral of the absolute difference, in percent of that of the reference."""
        difference = self.weights @ np.abs(values - reference)
        return 100 * float(difference / (self.weights @ reference))


def read_grid_density(directory: str | os.PathLike[str]) -> GridDensity:
    """Read the densities that a run has left on its integration grid.

    Raises
    ------
    FileNotFoundError
        There are no weights, or no density.
    ValueError
        A line does not have four finite numbers, or the files have different points.
    """
    folder = Path(directory)
    points, weights = _read_field(folder / WEIGHTS)
    densities: dict[str, np.ndarray] = {}
    for name in (SCF, REBUILT):
        if not (folder / name).exists():
            continue
        found, densities[name] = _read_field(folder / name)
        if not np.array_equal(found, points):
            raise ValueError(
                f"{folder / name} has other points than {WEIGHTS}: are both of one run?"
            )
    if not densities:
        raise FileNotFoundError(
            f"there is neither {SCF} nor {REBUILT} in {folder}: run FHI-aims with ri_full_output"
        )
    return GridDensity(points, weights, densities.get(SCF), densities.get(REBUILT))


def _read_field(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Points, sorted by x, y, z, and values of a file: shapes (n, 3) and (n,)."""
    table = np.empty((count_lines(path), 4))
    done = 0
    for block in finite_blocks(path, 4):
        table[done : done + len(block) // 4] = block.reshape(-1, 4)
        done += len(block) // 4
    order = np.lexsort(table[:, 2::-1].T)
    return table[order, :3], table[order, 3]
