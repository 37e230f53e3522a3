r"""How uncertain a predicted density is, and what follows from it.

The error of the density is taken as a sum of independent errors of coefficients,

.. math:: \delta\rho(r) = \sum_{A l n m} \sigma_{A l n} \epsilon_{A l n m}
          \tilde\phi_{A l n m}(r),

normal and of unit variance :math:`\epsilon`, where the functions of one atom are orthonormal
(:func:`~ase_rholearn.basis.radial_transform`) and all m have the same standard deviation. The
variance of the density is then a sum of spherical functions of the atoms, and does not change
with the orientation of the molecule:

.. math:: \mathrm{Var}\,\rho(r) = \sum_A \sum_{l n} \sigma_{A l n}^2 \frac{2 l + 1}{4\pi}
          \tilde R_{A l n}(|r - R_A|)^2

Of a density with the exact number of electrons, the error is what the correction leaves of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from ase import units

from ..basis import Basis, orthonormal_transform, radial_transform
from .density import Density
from .evaluation.spherical import SphericalTables, table_radii
from .field import check_points
from .grid import Grid
from .normalization import charge_step

#: Standard deviations that are neglected in one atom's part, e/bohr^3.
_TOLERANCE = 1e-8

#: Variances of the components m of one function may differ by this much.
_ISOTROPIC = 1e-4

#: Planes of a grid are evaluated together up to this many points.
_SLAB = 2**18


@dataclass(frozen=True)
class DensityUncertainty:
    """Standard deviations of a density, its dipole moment and charges, in ASE's units.

    Parameters
    ----------
    rho
        The predicted density. If its number of electrons was corrected, so are the errors.
    variances
        Of the coefficients of the orthonormal functions, in the order of the flat vector:
        shape (size,), e^2/bohr^3. The same for all m of one function.

    Raises
    ------
    ValueError
        The variances do not fit the basis, are negative or not finite, or differ among the
        components m of a function.

    Notes
    -----
    Images of one atom in a periodic structure count as independent, which matters in cells that
    are smaller than the functions only. Errors of different atoms count as independent.

    Examples
    --------
    >>> from ase.build import molecule
    >>> from ase_rholearn.basis import Basis
    >>> basis = Basis.from_shells({"O": [(0, [1.0])], "H": [(0, [0.5])]})
    >>> rho = Density(molecule("H2O"), basis, [4.0, 1.0, 1.0])
    >>> deviation = DensityUncertainty(rho, [1e-4, 1e-4, 1e-4])
    >>> deviation.evaluate([[0.0, 0.0, 0.0]]).round(2)
    array([0.04])
    """

    rho: Density
    variances: Any

    def __post_init__(self) -> None:
        numbers = self.rho.atoms.numbers
        variances = self.rho.basis.check_coefficients(
            numbers, self.variances, argument="variances"
        ).copy()
        if (variances < 0).any():
            raise ValueError(f"variances has {np.sum(variances < 0)} negative numbers")
        variances.setflags(write=False)
        object.__setattr__(self, "variances", variances)
        self._check_isotropy()

    # values in space ---------------------------------------------------------------

    def evaluate(self, points: Any) -> np.ndarray:
        """Standard deviation at points (n, 3) in Angstrom: shape (n,), e/Angstrom^3."""
        return self._at_points(check_points(points) / units.Bohr) / units.Bohr**3

    def on_grid(
        self,
        spacing: float = 0.1,
        margin: float = 3.0,
        *,
        shape: tuple[int, int, int] | None = None,
    ) -> Grid:
        """Standard deviation on a uniform grid, that of :meth:`Density.on_grid`: e/Angstrom^3."""
        return self.on_frame(self.rho.frame(spacing, margin, shape=shape))

    def on_frame(self, frame: Grid) -> Grid:
        """Standard deviation at the points of another grid, whose values are ignored."""
        values = np.empty(frame.shape)
        for planes in _slabs(frame.shape):
            start, stop = planes.start, planes.stop
            nx, ny, nz = frame.shape
            edge = frame.cell[0] / nx
            part = Grid(
                np.broadcast_to(0.0, (stop - start, ny, nz)),
                frame.origin + start * edge,
                np.array([(stop - start) * edge, frame.cell[1], frame.cell[2]]),
            )
            points = part.points().reshape(-1, 3) / units.Bohr
            values[start:stop] = self._at_points(points).reshape(stop - start, ny, nz)
        return Grid(values / units.Bohr**3, frame.origin, frame.cell)

    # linear functions of the coefficients ------------------------------------------

    def coefficients(self) -> np.ndarray:
        """Standard deviation of each coefficient of the basis: shape (size,), e/bohr^1.5.

        As functions of one atom overlap, errors of their coefficients are correlated, and these
        numbers alone overestimate the error of the density.
        """
        spread = self._transform.multiply(np.sqrt(self.variances)[None]).tocsr()
        raw = np.asarray(spread.power(2).sum(axis=1)).ravel()
        if self.rho.is_normalized:
            step, electrons = self._step, self._electrons
            with_charge = spread @ (spread.T @ electrons)
            raw = raw - 2 * step * with_charge + step**2 * self._charge_variance
        return np.asarray(np.sqrt(np.maximum(raw, 0.0)))

    def dipole(self) -> np.ndarray:
        """Standard deviation of each component of the dipole moment: (3,) e Angstrom.

        In closed form.

        Raises
        ------
        ValueError
            The structure is periodic: its dipole is not defined.
        """
        return np.asarray(np.sqrt(np.diag(self.dipole_covariance())))

    def dipole_covariance(self) -> np.ndarray:
        """Covariance of the components of the dipole moment: (3, 3) e^2 Angstrom^2."""
        atoms, basis = self.rho.atoms, self.rho.basis
        if atoms.pbc.any():
            raise ValueError(
                f"atoms.pbc is {atoms.pbc.tolist()}: the dipole moment of a periodic structure is "
                "not defined; set pbc=False if this is a molecule in a box"
            )
        moments = basis.dipole_functionals(atoms.numbers, atoms.positions / units.Bohr)
        return self._covariance(moments * units.Bohr)

    # what is not linear ------------------------------------------------------------

    def draw(self, count: int, *, seed: int = 0) -> list[Density]:
        """Densities drawn from the predicted distribution.

        Whatever is computed from each of them has the spread of its own uncertainty.
        """
        if count < 1:
            raise ValueError(f"count is {count}: give 1 or more")
        rho, random = self.rho, np.random.default_rng(seed)
        noise = random.standard_normal((count, len(self.variances))) * np.sqrt(self.variances)
        return [
            Density(
                rho.atoms,
                rho.basis,
                rho.raw_coefficients + self._transform @ one,
                normalize=rho.is_normalized,
            )
            for one in noise
        ]

    def charges(
        self, scheme: str = "hirshfeld", *, draws: int = 32, seed: int = 0, level: int = 1
    ) -> np.ndarray:
        """Standard deviation of partial charges, from draws: shape (natoms,), e.

        Of n draws it is itself uncertain by one part in the square root of 2 n.

        Parameters
        ----------
        scheme, level
            As for :meth:`Density.charges`.
        draws
            Densities to divide, at least 2.
        seed
            Of the draws.
        """
        if draws < 2:
            raise ValueError(f"draws is {draws}: a standard deviation needs 2 or more")
        drawn = self.draw(draws, seed=seed)
        charges = np.array([one.charges(scheme, level=level) for one in drawn])
        return np.asarray(charges.std(axis=0, ddof=1))

    # inside ------------------------------------------------------------------------

    def _at_points(self, points: np.ndarray) -> np.ndarray:
        """Standard deviation at points in bohr: e/bohr^3."""
        atoms = self.rho.atoms
        centres, cell = atoms.positions / units.Bohr, atoms.cell.array / units.Bohr
        sums = self._tables.sums(centres, points, cell, atoms.pbc)
        variance = sums[:, 0]
        if self.rho.is_normalized:
            covariance, step = sums[:, 1], sums[:, 2]
            variance = variance - 2 * step * covariance + step**2 * self._charge_variance
        return np.asarray(np.sqrt(np.maximum(variance, 0.0)))

    @cached_property
    def _tables(self) -> SphericalTables:
        """For each atom variance, covariance with the charge, and the step of the charge."""
        basis, numbers = self.rho.basis, self.rho.atoms.numbers
        offsets = basis.offsets(numbers)
        radial = {int(z): _Radial.of(basis, int(z)) for z in set(numbers.tolist())}
        tables = [
            radial[int(z)].tables(self.variances[start:stop], self._step[start:stop])
            for z, start, stop in zip(numbers, offsets[:-1], offsets[1:], strict=True)
        ]
        # a variance is the square of what may be neglected
        return SphericalTables.of(np.array(tables), _TOLERANCE**2)

    @cached_property
    def _transform(self) -> Any:
        """Sparse matrix from orthonormal coefficients to those of the basis."""
        return orthonormal_transform(self.rho.basis, self.rho.atoms.numbers)

    @cached_property
    def _electrons(self) -> np.ndarray:
        return self.rho.basis.electrons(self.rho.atoms.numbers)

    @cached_property
    def _step(self) -> np.ndarray:
        if not self.rho.is_normalized:
            return np.zeros(len(self.variances))
        return charge_step(self.rho.basis, self.rho.atoms.numbers)

    @cached_property
    def _charge_variance(self) -> float:
        """Of the number of electrons, before it is corrected."""
        return float((self._transform.T @ self._electrons) ** 2 @ self.variances)

    def _covariance(self, functionals: np.ndarray) -> np.ndarray:
        """Covariance of linear functions of the coefficients, (size, k): shape (k, k)."""
        corrected = functionals - np.outer(self._electrons, self._step @ functionals)
        orthonormal = self._transform.T @ corrected
        return np.asarray((orthonormal * self.variances[:, None]).T @ orthonormal)

    def _check_isotropy(self) -> None:
        layout = self.rho.basis.layout(self.rho.atoms.numbers)
        first = np.flatnonzero(layout.m == -layout.l)
        of_function = np.repeat(self.variances[first], 2 * layout.l[first] + 1)
        if not np.allclose(self.variances, of_function, rtol=_ISOTROPIC, atol=0.0):
            raise ValueError(
                "variances differ among the components m of a function: give the same for all, "
                "or the uncertainty would depend on how the molecule is turned"
            )


def radial_variance(basis: Basis, z: int, l: int, variances: np.ndarray) -> np.ndarray:
    """Variance of the density due to the functions of one l of an atom: shape (n_radii,).

    Parameters
    ----------
    basis, z, l
        The functions.
    variances
        Of the coefficients of the orthonormal ones: (n_functions,).

    Returns
    -------
    numpy.ndarray
        At :func:`~ase_rholearn.density.evaluation.spherical.table_radii`, e^2/bohr^6.
    """
    return np.asarray(_squares(basis, z, l) @ variances)


def _squares(basis: Basis, z: int, l: int) -> np.ndarray:
    """Sum over m of the squares of the orthonormal functions: (n_radii, n_functions)."""
    r = table_radii()
    values = np.stack([function.radial(r) for function in basis.radial_functions(z, l)], axis=1)
    return np.asarray(
        (2 * l + 1) / (4 * np.pi) * (values @ radial_transform(basis, z, l, "overlap")) ** 2
    )


@dataclass(frozen=True)
class _Radial:
    """Radial functions of one species at the radii of the tables.

    Attributes
    ----------
    squares
        Of each orthonormal function, times (2 l + 1) / 4 pi: shape (n_radii, n).
    first
        Where the components m of each function begin within the atom's coefficients: (n,).
    s_orthonormal, s_functions
        The orthonormal s functions and those of the basis: shape (n_radii, n_s).
    s_electrons
        Electrons that the orthonormal s functions hold: (n_s,).
    """

    squares: np.ndarray
    first: np.ndarray
    s_orthonormal: np.ndarray
    s_functions: np.ndarray
    s_electrons: np.ndarray

    @classmethod
    def of(cls, basis: Basis, z: int) -> _Radial:
        r = table_radii()
        occupied = [l for l in range(basis.l_max + 1) if basis.radial_functions(z, l)]
        squares = np.concatenate([_squares(basis, z, l) for l in occupied], axis=1)
        shells = basis.radial_functions(z, 0)
        s_functions = np.zeros((len(r), len(shells)))
        for k, shell in enumerate(shells):
            s_functions[:, k] = shell.radial(r) / np.sqrt(4 * np.pi)
        transform = radial_transform(basis, z, 0, "overlap")
        s_electrons = basis.electrons([z])[: len(shells)] @ transform
        layout = basis.layout([z])
        first = np.flatnonzero(layout.m == -layout.l)
        return cls(squares, first, s_functions @ transform, s_functions, s_electrons)

    def tables(self, variances: np.ndarray, step: np.ndarray) -> np.ndarray:
        """Of an atom with these variances and this part of the step: (n_radii, 3)."""
        n_s = len(self.s_electrons)
        variance = self.squares @ variances[self.first]
        covariance = self.s_orthonormal @ (variances[:n_s] * self.s_electrons)
        return np.stack([variance, covariance, self.s_functions @ step[:n_s]], axis=1)


def _slabs(shape: tuple[int, int, int]) -> Iterator[range]:
    """Ranges of planes along the first axis."""
    step = max(1, _SLAB // (shape[1] * shape[2]))
    for start in range(0, shape[0], step):
        yield range(start, min(start + step, shape[0]))
