"""Superposition of two molecules with one Gaussian an atom. Atomic units.

It has few and wide maxima, and costs next to nothing: the place to find out which orientations
are worth a look.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.spatial.transform import Rotation

#: Exponent of the products of Gaussians, bohr^-2.
_EXPONENT = 0.15

#: Orientations that are improved.
_IMPROVED = 30

#: Places of atoms that differ by less (bohr) belong to the same pose.
_SAME = 0.05


@dataclass(frozen=True)
class Pose:
    """A place and an orientation.

    Attributes
    ----------
    rotation
        Shape (3, 3); with determinant -1 for a mirror image.
    shift
        Where the centre of the moving molecule goes: shape (3,), bohr.
    value
        The higher, the more alike.
    """

    rotation: np.ndarray
    shift: np.ndarray
    value: float


@dataclass(frozen=True)
class Spheres:
    """Atoms of the moving molecule about its centre, and those of the target.

    Attributes
    ----------
    moving, target
        Positions in bohr: shapes (n, 3) and (m, 3).
    weights
        Products of the nuclear charges: shape (n, m).
    """

    moving: np.ndarray
    target: np.ndarray
    weights: np.ndarray

    def best(self, rotations: Sequence[np.ndarray], shift: np.ndarray) -> list[Pose]:
        """Maxima next to the best of some orientations, the highest first."""
        starts = [Pose(r, shift, self._value(r, shift)[0]) for r in rotations]
        starts.sort(key=lambda pose: -pose.value)
        return distinct([self._improved(pose) for pose in starts[:_IMPROVED]], self.moving)

    def _value(self, rotation: np.ndarray, shift: np.ndarray) -> tuple[float, np.ndarray]:
        """Overlap, and its gradient in the positions of the moving atoms."""
        vectors = (self.moving @ rotation.T + shift)[:, None] - self.target
        overlaps = self.weights * np.exp(-_EXPONENT * (vectors**2).sum(axis=2))
        slopes = -2 * _EXPONENT * np.einsum("nm,nmi->ni", overlaps, vectors)
        return float(overlaps.sum()), slopes

    def _improved(self, pose: Pose) -> Pose:
        scale = 1 / self.weights.sum()

        def objective(x: np.ndarray) -> tuple[float, np.ndarray]:
            rotation = Rotation.from_rotvec(x[:3]).as_matrix() @ pose.rotation
            value, slopes = self._value(rotation, pose.shift + x[3:])
            torque = np.cross(self.moving @ rotation.T, slopes).sum(axis=0)
            gradient = np.concatenate([_left_jacobian(x[:3]).T @ torque, slopes.sum(axis=0)])
            return -scale * value, -scale * gradient

        x = minimize(objective, np.zeros(6), jac=True, method="BFGS").x
        rotation = Rotation.from_rotvec(x[:3]).as_matrix() @ pose.rotation
        shift = pose.shift + x[3:]
        return Pose(rotation, shift, self._value(rotation, shift)[0])


def distinct(poses: Sequence[Pose], positions: np.ndarray) -> list[Pose]:
    """Poses without repetitions, the best ones first.

    ``positions`` are those of the moving atoms about their centre, bohr.
    """
    kept: list[tuple[Pose, np.ndarray]] = []
    for pose in sorted(poses, key=lambda pose: -pose.value):
        placed = positions @ pose.rotation.T + pose.shift
        if all(np.abs(placed - other).max() > _SAME for _, other in kept):
            kept.append((pose, placed))
    return [pose for pose, _ in kept]


def _left_jacobian(vector: np.ndarray) -> np.ndarray:
    """Turn that a small change of a rotation vector adds to the rotation: shape (3, 3)."""
    angle = float(np.linalg.norm(vector))
    if angle < 1e-8:
        return np.eye(3)
    x, y, z = vector / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    along = np.outer(vector, vector) / angle**2
    share = np.sin(angle) / angle
    return np.asarray(share * np.eye(3) + (1 - share) * along + (1 - np.cos(angle)) / angle * cross)
