"""Fourier transform of the charge densities of atoms, in closed form. Atomic units."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ...basis import solid_harmonics
from .potential import AtomCharge


def fourier_transform(
    charges: Sequence[AtomCharge], vectors: np.ndarray, g2: np.ndarray
) -> np.ndarray:
    """Fourier transform of the charge density without points: shape (n,), complex.

    Frequencies have shape (n, 3), bohr^-1; ``g2`` are their squares.
    """
    l_max = max(m.l for charge in charges for m in charge.multiplets)
    harmonics = solid_harmonics(torch.from_numpy(np.ascontiguousarray(vectors)), l_max).numpy()
    gaussians: dict[float, np.ndarray] = {}
    total = np.zeros(len(vectors), dtype=complex)
    for charge in charges:
        real, imaginary = np.zeros(len(vectors)), np.zeros(len(vectors))
        for multiplet in charge.multiplets:
            l = multiplet.l
            for a in multiplet.exponents.tolist():
                if a not in gaussians:
                    gaussians[a] = np.exp(-g2 / (4 * a))
            table = np.stack([gaussians[a] for a in multiplet.exponents.tolist()], axis=1)
            scale = (np.pi / multiplet.exponents) ** 1.5 / (2 * multiplet.exponents) ** l
            radial = table @ (multiplet.weights * scale[:, None])
            value = (radial * harmonics[:, l * l : (l + 1) ** 2]).sum(axis=1)
            # (-i)^l
            if l % 2 == 0:
                real += (-1) ** (l // 2) * value
            else:
                imaginary += (-1) ** ((l + 1) // 2) * value
        total += (real + 1j * imaginary) * np.exp(-1j * (vectors @ charge.centre))
    return total
