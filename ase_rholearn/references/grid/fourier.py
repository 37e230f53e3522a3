r"""Metrics of a crystal: sums over the frequencies of the grid. Atomic units.

A solid-harmonic Gaussian at R has the Fourier transform

.. math:: \int r^l Y_{lm} e^{-a r^2} e^{-i G r} d^3r =
          (-i)^l \left(\frac{\pi}{a}\right)^{3/2} \frac{G^l Y_{lm}(G)}{(2a)^l} e^{-G^2 / 4a}
          e^{-i G R}.

Values at the points of a grid do not tell frequencies that differ by a reciprocal vector of
the lattice of points. The transforms of tight functions are folded in the same way, so that a
density which lies in the basis comes back (to 2e-10 of the tightest function that a grid may
carry, where the 26 nearest of these vectors are not all) whatever the spacing. With the overlap
metric this is a least-squares fit at the points, at the price of fewer numbers: diffuse
functions have few frequencies. In the Coulomb metric the frequency zero has no interaction:
there stands the known charge, with the weight of the next.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from ase import units

from ...basis import Basis, Shell, solid_harmonics
from ...basis.numerical import gaussian_shells
from ...density import Grid
from .resolution import neighbours, point_lattice

#: Frequencies that are treated at once.
_BLOCK = 4096

#: Exponent x of exp(-x) below which a transform is taken for zero.
_NEGLIGIBLE = 32.0


@dataclass(frozen=True)
class _Block:
    """Functions at some frequencies: real and imaginary parts, weighted.

    Attributes
    ----------
    functions
        Indices of the functions that are not zero: shape (m,).
    rows
        Square root of the weight times the transforms: shape (2 n, m).
    """

    functions: np.ndarray
    rows: np.ndarray


class FourierMetric:
    """Overlap or Coulomb interaction (Hartree) of periodic functions, and with values on a grid.

    Parameters
    ----------
    metric
        ``"overlap"`` or ``"coulomb"``.
    basis
        The auxiliary basis.
    numbers, positions
        Atomic numbers, and positions in bohr.
    grid
        Over one cell; its values play no part.
    """

    def __init__(
        self,
        metric: str,
        basis: Basis,
        numbers: np.ndarray,
        positions: np.ndarray,
        grid: Grid,
    ) -> None:
        self._metric = metric
        self._basis = basis
        self._numbers = numbers
        # the first point becomes the origin
        self._positions = positions - grid.origin / units.Bohr
        self._shape = grid.shape
        self._cell = grid.cell / units.Bohr
        self._images = neighbours(point_lattice(grid)) * units.Bohr
        self._frequencies, self._counts, self._places = self._half_space()
        self.matrix = self._products()

    def project(self, values: np.ndarray, charge: float) -> np.ndarray:
        """Product of every function with values (nx, ny, nz) in e/bohr^3: shape (size,).

        In the Coulomb metric ``charge`` (electrons) replaces what the frequency zero says.
        """
        volume = abs(np.linalg.det(self._cell))
        transform = np.fft.rfftn(values) * (volume / values.size)
        if self._metric == "coulomb":
            transform[0, 0, 0] = charge
        flat = transform.ravel()[self._places]
        weights = self._weights()
        result = np.zeros(self._basis.size(self._numbers))
        offsets = self._basis.offsets(self._numbers)
        for chosen, species in self._transforms():
            own = np.conj(flat[chosen]) * weights[chosen]
            for atom, z in enumerate(self._numbers):
                transform = species[int(z)]
                part = transform.product(own, self._positions[atom])
                result[offsets[atom] + transform.functions] += part
        return result

    def _products(self) -> np.ndarray:
        size = self._basis.size(self._numbers)
        matrix = np.zeros((size, size))
        for block in self._blocks():
            matrix[np.ix_(block.functions, block.functions)] += block.rows.T @ block.rows
        return matrix

    def _half_space(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Frequencies by length, how often each counts, and their places in ``rfftn``."""
        nx, ny, nz = self._shape
        integers = np.stack(
            np.meshgrid(
                np.fft.fftfreq(nx, 1 / nx),
                np.fft.fftfreq(ny, 1 / ny),
                np.arange(nz // 2 + 1),
                indexing="ij",
            ),
            axis=-1,
        )
        # the plane 0, and the last of an even axis, hold both frequencies of each pair
        counts = np.full(integers.shape[:3], 2.0)
        counts[..., 0] = 1.0
        if nz % 2 == 0:
            counts[..., -1] = 1.0
        reciprocal = 2 * np.pi * np.linalg.inv(self._cell).T
        frequencies = self._shortest(integers.reshape(-1, 3) @ reciprocal)
        order = np.argsort(np.einsum("ij,ij->i", frequencies, frequencies), kind="stable")
        return frequencies[order], counts.ravel()[order], order

    def _shortest(self, frequencies: np.ndarray) -> np.ndarray:
        """The shortest of all frequencies that are the same on the grid."""
        images = np.vstack([np.zeros(3), self._images])
        best = frequencies
        # a skewed cell may need more than one step
        for _ in range(8):
            lengths = np.stack([np.einsum("ij,ij->i", best + k, best + k) for k in images])
            # rounding must not choose between images of equal length
            lengths[0] *= 1 - 1e-9
            chosen = np.argmin(lengths, axis=0)
            if not chosen.any():
                break
            best = best + images[chosen]
        return best

    def _weights(self) -> np.ndarray:
        """1 or 4 pi / G^2 over the volume, times how often a frequency counts."""
        weights = self._counts / abs(np.linalg.det(self._cell))
        if self._metric == "coulomb":
            g2 = np.einsum("ij,ij->i", self._frequencies, self._frequencies)
            g2[0] = g2[min(1, len(g2) - 1)]
            weights = weights * 4 * np.pi / g2
        return weights

    def _transforms(self) -> Iterator[tuple[np.ndarray, dict[int, _SpeciesTransform]]]:
        """Blocks of frequencies, with the transforms of the functions of each species."""
        for start in range(0, len(self._frequencies), _BLOCK):
            chosen = np.arange(start, min(start + _BLOCK, len(self._frequencies)))
            frequencies = self._frequencies[chosen]
            yield (
                chosen,
                {
                    int(z): _SpeciesTransform.of(
                        gaussian_shells(self._basis.shells[int(z)], "fit_grid"),
                        frequencies,
                        self._images,
                    )
                    for z in set(self._numbers.tolist())
                },
            )

    def _blocks(self) -> Iterator[_Block]:
        weights = np.sqrt(self._weights())
        offsets = self._basis.offsets(self._numbers)
        for chosen, species in self._transforms():
            functions, columns = [], []
            for atom, z in enumerate(self._numbers):
                transform = species[int(z)]
                functions.append(offsets[atom] + transform.functions)
                columns.append(transform.at(self._positions[atom], len(chosen)))
            values = np.concatenate(columns, axis=1) * weights[chosen, None]
            rows = np.concatenate([values.real, values.imag])
            yield _Block(np.concatenate(functions), rows)


@dataclass(frozen=True)
class _SpeciesTransform:
    """Transforms of the functions of an atom at the origin.

    Attributes
    ----------
    functions
        Places of the functions that are not zero everywhere.
    parts
        Frequencies (n, 3), the functions that have them (places in ``functions``), and
        their values (n, m) without the phase of a position: one part for the frequencies
        themselves and one for each image that counts.
    """

    functions: np.ndarray
    parts: tuple[tuple[np.ndarray, np.ndarray, np.ndarray], ...]

    @classmethod
    def of(
        cls, shells: tuple[Shell, ...], frequencies: np.ndarray, images: np.ndarray
    ) -> _SpeciesTransform:
        starts = np.concatenate([[0], np.cumsum([2 * s.l + 1 for s in shells])])
        tightest = np.array([max(s.exponents) for s in shells])
        needed = _shells_at(tightest, frequencies)
        places = {int(k): starts[k] + np.arange(2 * shells[k].l + 1) for k in needed}
        functions = np.concatenate([*places.values(), np.zeros(0, dtype=int)])
        parts = []
        for image in [np.zeros(3), *images]:
            moved = frequencies + image
            used = np.intersect1d(_shells_at(tightest, moved), needed)
            if len(used) == 0:
                continue
            columns = np.concatenate([places[int(k)] for k in used])
            values = _transforms([shells[k] for k in used], moved)
            parts.append((moved, np.searchsorted(functions, columns), values))
        return cls(functions, tuple(parts))

    def at(self, position: np.ndarray, n: int) -> np.ndarray:
        """Transforms of the functions of an atom at a position: (n, n_functions)."""
        total = np.zeros((n, len(self.functions)), dtype=complex)
        for frequencies, columns, values in self.parts:
            total[:, columns] += np.exp(-1j * (frequencies @ position))[:, None] * values
        return total

    def product(self, values: np.ndarray, position: np.ndarray) -> np.ndarray:
        """Real part of the sum of values (n,) times :meth:`at`: shape (n_functions,)."""
        total = np.zeros(len(self.functions))
        for frequencies, columns, transforms in self.parts:
            phases = np.exp(-1j * (frequencies @ position))
            total[columns] += ((values * phases) @ transforms).real
        return total


def _shells_at(tightest: np.ndarray, frequencies: np.ndarray) -> np.ndarray:
    """Shells whose transform is not negligible at some of the frequencies."""
    shortest = np.einsum("ij,ij->i", frequencies, frequencies).min()
    return np.flatnonzero(shortest / (4 * tightest) < _NEGLIGIBLE)


def _transforms(shells: list[Shell], frequencies: np.ndarray) -> np.ndarray:
    """Transforms at the origin, one column for each function: (n, n_functions)."""
    g2 = np.einsum("ij,ij->i", frequencies, frequencies)
    l_max = max(shell.l for shell in shells)
    harmonics = solid_harmonics(torch.from_numpy(np.ascontiguousarray(frequencies)), l_max).numpy()
    columns = []
    for shell in shells:
        l, a = shell.l, np.array(shell.exponents)
        weights = np.array(shell.coefficients) * (np.pi / a) ** 1.5 / (2 * a) ** l
        radial = np.exp(-g2[:, None] / (4 * a)) @ weights
        columns.append((-1j) ** l * harmonics[:, l * l : (l + 1) ** 2] * radial[:, None])
    return np.concatenate(columns, axis=1)
