"""Bases that the tests of this room share."""

from __future__ import annotations

import pytest

from ase_rholearn.basis import AtomicDensity, Basis, Shell, from_pyscf


@pytest.fixture
def mixed_basis() -> Basis:
    """Contractions, a gap in l (no p on oxygen) and floats without a short decimal form."""
    return Basis(
        {
            1: (Shell.normalized(0, [1.0 / 3, 0.1], [0.3, 0.7]), Shell.normalized(1, [0.7])),
            8: (
                Shell.normalized(0, [30.0, 7.0, 0.3], [0.2, 0.5, 0.6]),
                Shell.normalized(0, [0.2]),
                Shell.normalized(2, [1.1]),
                Shell.normalized(2, [0.9], [-1.0]),
            ),
        },
        atomic_densities={
            1: AtomicDensity((2.0, 0.3), (0.1, 0.1 / 3)),
            8: AtomicDensity((9.0, 1.0 / 7), (1.7, -0.01)),
        },
        name="mixed",
    )


@pytest.fixture
def published_basis() -> Basis:
    """Contracted shells up to g on carbon."""
    return from_pyscf("def2-universal-jkfit", ["H", "C", "O"])
