"""The best superposition of two molecules, by their densities.

Many orientations are tried with one Gaussian an atom, which has few and wide maxima. The best
ones are improved with the densities themselves, first smoothed, because the cores of heavy
atoms hide everything else until they coincide.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import permutations, product

import numpy as np
import torch
from ase import units
from scipy.optimize import minimize
from scipy.spatial.transform import Rotation

from ...basis import harmonic_rotations
from ..density import Density
from ..electrostatics.products import AtomGroup, Kernel, Operator, grouped, molecular_product
from .expansion import electron_terms
from .rigid_motion import transformed
from .similarity import check_index, check_operator
from .spheres import Pose, Spheres, distinct

#: Random orientations besides those of the principal axes, and poses that are improved with
#: densities.
_RANDOM, _FINE = 200, 2

#: Smoothing (bohr^2) before the densities themselves; the Coulomb operator is smooth already.
_SMOOTHINGS: dict[Operator, tuple[float, ...]] = {"overlap": (0.3,), "coulomb": ()}

#: Highest l of the smoothed densities.
_SMOOTH_L = 1

#: Poses that are worse than the best one by more than this are given up.
_WORSE = 0.02

#: Carbo's index of densities that are equal, to rounding.
_EQUAL = 1 - 1e-12

#: Gradients of the similarity (per bohr) that end an optimisation.
_COARSE_GRADIENT, _FINE_GRADIENT = 1e-4, 1e-5


@dataclass(frozen=True)
class Alignment:
    """The best superposition of a molecule on another.

    Attributes
    ----------
    similarity
        Of the aligned density and the target.
    rotation
        R, with determinant -1 if the molecule was inverted: shape (3, 3).
    translation
        t: shape (3,), Angstrom. Positions r of the molecule became R r + t.
    density
        The aligned density.
    """

    similarity: float
    rotation: np.ndarray
    translation: np.ndarray
    density: Density


def align(
    moving: Density,
    target: Density,
    *,
    operator: str = "overlap",
    index: str = "carbo",
    inversion: bool = False,
) -> Alignment:
    """Superpose a molecule on another so that their densities are as similar as possible.

    The molecules may differ, and so may the order of their atoms. Starts are the principal
    axes of the nuclear charge in all assignments, and random orientations (always the same).
    The result is the best of the maxima that were found from there.

    Parameters
    ----------
    moving, target
        Densities of molecules.
    operator, index
        What is maximal; see :func:`~ase_rholearn.density.comparison.similarity.similarity`.
        Both indices have the same maximum.
    inversion
        Whether mirror images of the molecule are tried too.

    Raises
    ------
    ValueError
        A structure is periodic, or there is no such operator or index.

    Examples
    --------
    >>> from ase.build import molecule
    >>> from ase_rholearn import Basis
    >>> basis = Basis.from_shells({"O": [(0, [1.0])], "H": [(0, [0.5])]})
    >>> water = Density(molecule("H2O"), basis, [4.0, 1.0, 1.0])
    >>> turned = transformed(water, [[0, 0, 1], [1, 0, 0], [0, 1, 0]], [1.0, 2.0, 3.0])
    >>> round(align(turned, water).similarity, 6)
    1.0
    """
    for name, rho in (("moving", moving), ("target", target)):
        if rho.atoms.pbc.any():
            raise ValueError(
                f"{name}.atoms.pbc is {rho.atoms.pbc.tolist()}: only molecules can be "
                "superposed; set pbc=False if this is a molecule in a box"
            )
    formula, metric = check_index(index), check_operator(operator)
    best = _best_pose(moving, target, metric, inversion)
    translation = best.shift - best.rotation @ _centre(moving)
    aligned = transformed(moving, best.rotation, translation * units.Bohr)
    groups = [grouped(electron_terms(rho)) for rho in (aligned, target)]
    kernel = Kernel(metric)
    products = [
        float(molecular_product(groups[i], groups[j], kernel)) for i, j in ((0, 1), (0, 0), (1, 1))
    ]
    return Alignment(formula(*products), best.rotation, translation * units.Bohr, aligned)


def _best_pose(moving: Density, target: Density, operator: Operator, inversion: bool) -> Pose:
    centre, positions = _centre(moving), moving.atoms.positions / units.Bohr
    spheres = Spheres(
        positions - centre,
        target.atoms.positions / units.Bohr,
        np.outer(moving.core_charges, target.core_charges),
    )
    rotations = list(_orientations(moving, target, inversion))
    poses = spheres.best(rotations, _centre(target))[:_FINE]
    terms = grouped(electron_terms(moving)), grouped(electron_terms(target))
    smooth = _without_high_l(terms[0]), _without_high_l(terms[1])
    for smoothing in _SMOOTHINGS[operator]:
        densities = _Superposition.of(*smooth, centre, Kernel(operator, smoothing))
        poses = [densities.improved(pose, _COARSE_GRADIENT) for pose in poses]
        poses = distinct(poses, spheres.moving)
    densities = _Superposition.of(*terms, centre, Kernel(operator))
    poses = distinct([densities.at(pose) for pose in poses], spheres.moving)
    best = poses[0]
    for pose in poses:
        # nothing is more alike than equal
        if best.value < _EQUAL and pose.value > poses[0].value - _WORSE:
            best = max(best, densities.improved(pose, _FINE_GRADIENT), key=lambda p: p.value)
    return best


@dataclass(frozen=True)
class _Superposition:
    """Two sets of Gaussians, the first of which moves.

    Attributes
    ----------
    moving
        About the centre of the molecule.
    target
        Where it is.
    kernel
        What stands between them.
    norm
        Root of their products with themselves.
    size
        Extent of the moving molecule, bohr: a turn by x / size moves atoms by about x.
    """

    moving: list[AtomGroup]
    target: list[AtomGroup]
    kernel: Kernel
    norm: float
    size: float

    @classmethod
    def of(
        cls, moving: list[AtomGroup], target: list[AtomGroup], centre: np.ndarray, kernel: Kernel
    ) -> _Superposition:
        middle = torch.from_numpy(centre)
        centred = [replace(group, centres=group.centres - middle) for group in moving]
        squares = [float(molecular_product(groups, groups, kernel)) for groups in (moving, target)]
        distances = torch.cat([torch.linalg.norm(group.centres, dim=1) for group in centred])
        size = max(1.0, float(torch.sqrt((distances**2).mean())))
        return cls(centred, target, kernel, float(np.sqrt(squares[0] * squares[1])), size)

    def at(self, pose: Pose) -> Pose:
        """A pose with its value."""
        with torch.no_grad():
            value = self._value(torch.from_numpy(pose.rotation), torch.from_numpy(pose.shift))
        return replace(pose, value=float(value))

    def improved(self, pose: Pose, gradient: float) -> Pose:
        """The maximum next to a pose."""
        start = torch.from_numpy(pose.rotation), torch.from_numpy(pose.shift)

        def step(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return _turn(x[:3] / self.size) @ start[0], start[1] + x[3:]

        def objective(x: np.ndarray) -> tuple[float, np.ndarray]:
            variables = torch.from_numpy(x).clone().requires_grad_()
            value = -self._value(*step(variables))
            value.backward()
            assert variables.grad is not None
            return float(value.detach()), variables.grad.numpy()

        options = {"gtol": gradient}
        found = minimize(objective, np.zeros(6), jac=True, method="BFGS", options=options)
        rotation, shift = step(torch.from_numpy(found.x))
        return Pose(rotation.numpy(), shift.numpy(), -float(found.fun))

    def _value(self, rotation: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
        l_max = max(group.shells[-1].l for group in self.moving)
        wigner = harmonic_rotations(rotation, l_max)
        turned = [
            AtomGroup(
                group.centres @ rotation.T + shift,
                tuple(replace(s, weights=s.weights @ wigner[s.l].T) for s in group.shells),
            )
            for group in self.moving
        ]
        return molecular_product(turned, self.target, self.kernel) / self.norm


def _turn(vector: torch.Tensor) -> torch.Tensor:
    """Matrix of the rotation about a vector by its length in radians."""
    zero = torch.zeros((), dtype=vector.dtype)
    x, y, z = vector
    rows = [zero, -z, y], [z, zero, -x], [-y, x, zero]
    return torch.linalg.matrix_exp(torch.stack([torch.stack(row) for row in rows]))


def _without_high_l(groups: list[AtomGroup]) -> list[AtomGroup]:
    return [
        replace(group, shells=tuple(part for part in group.shells if part.l <= _SMOOTH_L))
        for group in groups
    ]


def _centre(rho: Density) -> np.ndarray:
    """Centre of the nuclear charges, bohr."""
    cores = rho.core_charges
    return np.asarray(cores @ rho.atoms.positions / cores.sum() / units.Bohr)


def _orientations(moving: Density, target: Density, inversion: bool) -> Iterator[np.ndarray]:
    """Rotations to start from: principal axes on principal axes, and random ones."""
    own, other = _principal_axes(moving), _principal_axes(target)
    rotations = [other.T @ frame @ own for frame in _frames()]
    rng = np.random.default_rng(0)
    rotations += list(Rotation.random(_RANDOM, rng=rng).as_matrix())
    for rotation in rotations:
        proper = rotation * np.sign(np.linalg.det(rotation))
        yield proper
        if inversion:
            yield -proper


def _principal_axes(rho: Density) -> np.ndarray:
    """Rows are the principal axes of the nuclear charge."""
    vectors = rho.atoms.positions / units.Bohr - _centre(rho)
    return np.asarray(np.linalg.eigh((rho.core_charges[:, None] * vectors).T @ vectors)[1].T)


def _frames() -> Iterator[np.ndarray]:
    """Three axes on three axes, in every order and direction that differ by a rotation.

    The one with the opposite sign is the same, or its inversion.
    """
    for order in permutations(range(3)):
        for signs in product((1.0, -1.0), repeat=2):
            yield np.diag([1.0, *signs])[:, order]
