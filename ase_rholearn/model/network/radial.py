"""Radial functions of the neighbour density: tabulated from featomic, evaluated in torch.

featomic defines the functions (the radial integrals of a smooth overlap of atomic
positions); a cubic Hermite table of their values and slopes reproduces them to 1e-9. The
table goes into the model file, so that a model runs without featomic.
"""

# no "from __future__ import annotations": TorchScript reads the annotations of this module

import logging
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

#: Distance of the knots in Angstrom; the interpolation error goes with its fourth power.
_KNOT_SPACING = 0.004

#: Shortest distance that is tabulated from a dimer; below, functions are continued to r = 0.
_SHORTEST = 1e-4


@dataclass(frozen=True)
class NeighborDensity:
    """The smooth overlap of atomic positions that describes an atom's surroundings.

    Attributes
    ----------
    cutoff
        Radius in Angstrom.
    max_angular
        Highest l of the expansion.
    max_radial
        Radial functions per l.
    width
        Width of the Gaussian on each neighbour, Angstrom.
    smoothing
        Width of the cosine by which neighbours fade out at the cutoff, Angstrom.
    scaling_radius, scaling_exponent
        Neighbours at a distance r count 1 / (1 + (r / radius)^exponent): those far away, of which
        there are many, less than the few that are bonded (M. J. Willatt, F. Musil and M. Ceriotti,
        Phys. Chem. Chem. Phys. 20, 29661 (2018)). Radius in Angstrom; None: all count alike.
    """

    cutoff: float = 4.0
    max_angular: int = 4
    max_radial: int = 6
    width: float = 0.3
    smoothing: float = 0.5
    scaling_radius: float | None = None
    scaling_exponent: float = 4.0

    def __post_init__(self) -> None:
        if not self.cutoff > 0:
            raise ValueError(f"cutoff is {self.cutoff}: give a positive radius in Angstrom")
        if self.scaling_radius is not None and not self.scaling_radius > 0:
            raise ValueError(
                f"scaling_radius is {self.scaling_radius}: give a positive radius in Angstrom, or "
                "None for no scaling"
            )
        if not self.scaling_exponent > 0:
            raise ValueError(f"scaling_exponent is {self.scaling_exponent}: give a positive number")
        if not 0 < self.smoothing <= self.cutoff:
            raise ValueError(
                f"smoothing is {self.smoothing}: give a width between 0 and the cutoff "
                f"({self.cutoff} Angstrom)"
            )
        if not self.width > 0:
            raise ValueError(f"width is {self.width}: give a positive width in Angstrom")
        if self.max_angular < 0 or self.max_radial < 1:
            raise ValueError(
                f"max_angular is {self.max_angular} and max_radial {self.max_radial}: at least 0 "
                "and 1 are needed"
            )

    def featomic_hypers(self) -> dict[str, Any]:
        """The same as hyper-parameters of ``featomic.SphericalExpansion``."""
        density: dict[str, Any] = {"type": "Gaussian", "width": self.width}
        if self.scaling_radius is not None:
            density["scaling"] = {
                "type": "Willatt2018",
                "scale": self.scaling_radius,
                "rate": 1.0,
                "exponent": self.scaling_exponent,
            }
        return {
            "cutoff": {
                "radius": self.cutoff,
                "smoothing": {"type": "ShiftedCosine", "width": self.smoothing},
            },
            "density": density,
            "basis": {
                "type": "TensorProduct",
                "max_angular": self.max_angular,
                "radial": {"type": "Gto", "max_radial": self.max_radial - 1},
                "spline_accuracy": 1e-10,
            },
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


class RadialTable(torch.nn.Module):
    """Cubic Hermite table of R_nl(r) on two uniform pieces that meet where smoothing starts.

    Parameters
    ----------
    knots
        (K,) Angstrom, increasing, uniform in [0, split] and in [split, cutoff].
    values, slopes
        R_nl and dR_nl/dr at the knots: (K, l_max + 1, n).
    split
        Index of the knot where the pieces meet.
    """

    table: torch.Tensor

    def __init__(
        self, knots: torch.Tensor, values: torch.Tensor, slopes: torch.Tensor, split: int
    ) -> None:
        super().__init__()
        self.n_intervals = knots.shape[0] - 1
        self.split = split
        self.l_size = values.shape[1]
        self.n_radial = values.shape[2]
        self.split_radius = float(knots[split])
        self.inner = float(knots[split] / split)
        self.outer = float((knots[-1] - knots[split]) / (self.n_intervals - split))
        self.cutoff = float(knots[-1])
        # on each interval the cubic a + b t + c t^2 + d t^3 in t = 0 .. 1 (Hermite form)
        width = (knots[1:] - knots[:-1])[:, None, None]
        left, right = values[:-1], values[1:]
        rise, start, stop = right - left, slopes[:-1] * width, slopes[1:] * width
        parts = [left, start, 3 * rise - 2 * start - stop, start + stop - 2 * rise]
        table = torch.stack(parts, dim=1).reshape(self.n_intervals, -1)
        self.register_buffer("table", table.contiguous())

    def forward(self, r: torch.Tensor) -> torch.Tensor:
        """R_nl at distances (n_pairs,), zero beyond the cutoff: (n_pairs, l_max + 1, n)."""
        inner = r < self.split_radius
        position = torch.where(
            inner, r / self.inner, self.split + (r - self.split_radius) / self.outer
        )
        interval = torch.clamp(position.detach().to(torch.long), 0, self.n_intervals - 1)
        t = (position - interval).unsqueeze(1)
        size = self.l_size * self.n_radial
        cubic = self.table[interval]  # [pair, (power, l, n)]
        values = torch.addcmul(cubic[:, 2 * size : 3 * size], cubic[:, 3 * size :], t)
        values = torch.addcmul(cubic[:, size : 2 * size], values, t)
        values = torch.addcmul(cubic[:, :size], values, t)
        values = values * (r < self.cutoff).unsqueeze(1)
        return values.reshape(-1, self.l_size, self.n_radial)


def tabulate(density: NeighborDensity) -> tuple[RadialTable, torch.Tensor]:
    """Table of a neighbour density, and the atom's own contribution to (l, m) = (0, 0).

    Needs featomic (``pip install 'ase-rholearn[train]'``).

    Returns
    -------
    RadialTable
        Double precision.
    torch.Tensor
        Coefficients n of the atom's own Gaussian: (max_radial,).
    """
    split_radius = density.cutoff - density.smoothing
    n_inner = max(1, int(np.ceil(split_radius / _KNOT_SPACING)))
    n_outer = max(1, int(np.ceil(density.smoothing / _KNOT_SPACING)))
    if split_radius <= 0:  # the cosine spans everything: both pieces lie below it
        n_inner, split_radius = n_outer, density.cutoff / 2
    knots = np.concatenate(
        [
            np.linspace(0.0, split_radius, n_inner + 1),
            np.linspace(split_radius, density.cutoff, n_outer + 1)[1:],
        ]
    )
    values, slopes, own = _scan_dimers(density, np.maximum(knots, _SHORTEST))
    values[-1], slopes[-1] = 0.0, 0.0  # the smooth cutoff: value and slope vanish
    _continue_to_origin(values, slopes)
    table = RadialTable(
        torch.from_numpy(knots), torch.from_numpy(values), torch.from_numpy(slopes), n_inner
    )
    return table, torch.from_numpy(own)


def _scan_dimers(
    density: NeighborDensity, distances: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """R_nl and its slope from dimers along z, and the self term: (K, l, n), (K, l, n), (n,)."""
    featomic = _featomic()
    from ase import Atoms

    calculator = featomic.SphericalExpansion(**density.featomic_hypers())
    # hydrogen and helium, so that neighbour blocks hold nothing but the other atom
    dimers = [Atoms("HHe", positions=[[0, 0, 0], [0, 0, r]]) for r in distances.tolist()]
    dimers.append(Atoms("H", positions=[[0, 0, 0]]))
    logging.disable(logging.WARNING)  # it finds the shortest dimers suspicious
    try:
        expansion = calculator.compute(dimers, gradients=["positions"])
    finally:
        logging.disable(logging.NOTSET)
    shape = (len(distances), density.max_angular + 1, density.max_radial)
    values, slopes = np.zeros(shape), np.zeros(shape)
    for l in range(density.max_angular + 1):
        block = expansion.block(o3_lambda=l, center_type=1, neighbor_type=2)
        # at theta = 0 only m = 0 differs from zero: Y_l0 = sqrt((2 l + 1) / 4 pi)
        scale = np.sqrt(4 * np.pi / (2 * l + 1))
        system = block.samples["system"]
        values[system, l] = block.values[:, l] * scale
        gradient = block.gradient("positions")
        moved = gradient.samples["atom"] == 1
        rows = system[gradient.samples["sample"][moved]]
        slopes[rows, l] = np.asarray(gradient.values)[moved][:, 2, l] * scale
    own_block = expansion.block(o3_lambda=0, center_type=1, neighbor_type=1)
    lone = own_block.samples["system"] == len(distances)
    return values, slopes, np.asarray(own_block.values)[lone][0, 0]


def _continue_to_origin(values: np.ndarray, slopes: np.ndarray) -> None:
    """At r = 0 exactly: R_n0 has no slope, R_n1 no value, and higher l neither."""
    values[0, 1:] = 0.0
    slopes[0, 0] = 0.0
    slopes[0, 2:] = 0.0


def _featomic() -> Any:
    try:
        import featomic
    except ImportError as error:
        raise ImportError(
            "new models take their radial functions from featomic: "
            "pip install 'ase-rholearn[train]'"
        ) from error
    return featomic
