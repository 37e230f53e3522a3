"""Densities of some orbitals: weights of Kohn-Sham states, which FHI-aims fits. Experimental.

FHI-aims lists its states in ``eigenstate_info.out`` (``output eigenstate_info``), and takes a
weight for each from ``eigenstate_occs.in``. Both names are known from public code of rholearn
alone; which keyword makes a release read the file, no public text says.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.special import erf

from .number_files import count_lines, finite_blocks, write_vector

STATES, WEIGHTS = "eigenstate_info.out", "eigenstate_occs.in"


@dataclass(frozen=True)
class States:
    """Kohn-Sham states of a run, each array of shape (nstates,).

    Attributes
    ----------
    spin, k_point
        Numbers from 1.
    k_weight
        Weights of the k-points.
    occupation
        0 to 2, or to 1 with two spin channels.
    energy
        eV.
    """

    spin: np.ndarray
    k_point: np.ndarray
    k_weight: np.ndarray
    occupation: np.ndarray
    energy: np.ndarray

    @property
    def is_occupied(self) -> np.ndarray:
        """Whether a state is more than half full."""
        full = 2.0 / len(np.unique(self.spin))
        return np.asarray(self.occupation > full / 2)


@dataclass(frozen=True)
class EnergyWindow:
    """Energies between which the local density of states is integrated.

    Attributes
    ----------
    low, high
        Relative to the Fermi level, eV.
    width
        Standard deviation of the Gaussian that each state is broadened by, eV.
    """

    low: float = -2.0
    high: float = 0.0
    width: float = 0.1

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ValueError(f"low is {self.low} and high {self.high}: give low < high")
        if not self.width > 0:
            raise ValueError(f"width is {self.width}: give a positive one, in eV")


def read_states(path: str | os.PathLike[str]) -> States:
    """Read ``eigenstate_info.out``.

    Raises
    ------
    FileNotFoundError
        There is none.
    ValueError
        A line does not have seven finite numbers.
    """
    table = np.empty((count_lines(path), 7))
    done = 0
    for block in finite_blocks(path, 7):
        rows = block.reshape(-1, 7)
        table[done : done + len(rows)] = rows
        done += len(rows)
    spin, k_point, k_weight, occupation, energy = table.T[2:]
    return States(spin.astype(int), k_point.astype(int), k_weight, occupation, energy)


def orbital_weights(
    states: States,
    quantity: str,
    window: EnergyWindow | None = None,
    fermi_level: float | None = None,
) -> np.ndarray:
    """Weight of each state in the density of a quantity: shape (nstates,).

    Parameters
    ----------
    states
        Of the run.
    quantity
        ``"homo"`` or ``"lumo"``: one electron in the highest occupied or the lowest unoccupied
        state of a molecule. ``"ildos"``: how much of each state, broadened by a Gaussian, is in
        the window, (erf((e - low) / (sqrt(2) s)) - erf((e - high) / (sqrt(2) s))) / 2.
    window, fermi_level
        For ``"ildos"``; the level in eV.

    Raises
    ------
    ValueError
        No such state, several k-points for an orbital, or no Fermi level.
    """
    if quantity == "ildos":
        if window is None or fermi_level is None:
            raise ValueError("the integrated density of states needs a window and a Fermi level")
        scaled = (states.energy[:, None] - fermi_level - np.array([window.low, window.high])) / (
            np.sqrt(2) * window.width
        )
        below, above = erf(scaled).T
        return np.asarray((below - above) / 2)
    if quantity not in ("homo", "lumo"):
        raise ValueError(f"quantity is {quantity!r}: give homo, lumo or ildos")
    if states.k_point.max() > 1:
        raise ValueError(f"{quantity} of several k-points is not one orbital: give ildos")
    chosen = np.flatnonzero(states.is_occupied == (quantity == "homo"))
    if not len(chosen):
        raise ValueError(f"there is no {quantity} among {len(states.energy)} states")
    energies = states.energy[chosen]
    best = chosen[energies.argmax() if quantity == "homo" else energies.argmin()]
    weights = np.zeros(len(states.energy))
    weights[best] = 1.0
    return weights


def write_weights(directory: str | os.PathLike[str], weights: np.ndarray) -> None:
    """Write ``eigenstate_occs.in``, one weight a line."""
    write_vector(Path(directory) / WEIGHTS, weights)
