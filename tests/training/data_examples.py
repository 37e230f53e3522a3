"""References for tests of data sets: random numbers that cost nothing to make."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from ase_rholearn.basis import Basis
from ase_rholearn.references import Reference, settings_with_basis
from ase_rholearn.training import DataSet

BASIS = Basis.from_shells(
    {
        "H": [(0, [1.0, 0.3]), (1, [0.5])],
        "O": [(0, [5.0, 1.0, 0.3]), (1, [0.5]), (2, [1.0])],
    },
    name="small",
)
SETTINGS = {"code": "none", "kohn_sham": {"xc": "PBE"}}
COMPLETE = settings_with_basis(SETTINGS, BASIS)

#: Everything that a reference may have beside coefficients.
FULL = ("energy", "forces", "dipole", "projections", "occupied_orbitals")


def example(seed: int, parts: tuple[str, ...] = FULL, **changes: Any) -> Reference:
    """One reference; another seed is another structure."""
    random = np.random.default_rng(seed)
    symbols = ["H2", "OH2", "HOOH"][seed % 3]
    numbers = Atoms(symbols).numbers
    size = BASIS.size(numbers)
    values: dict[str, Any] = {
        "energy": float(random.normal()),
        "forces": random.normal(size=(len(numbers), 3)),
        "dipole": random.normal(size=3),
        "projections": random.normal(size=size),
        "occupied_orbitals": random.normal(size=(7, 2)),
    }
    made: dict[str, Any] = {
        "atoms": Atoms(
            symbols,
            positions=random.uniform(-5, 5, (len(numbers), 3)),
            info={"name": f"structure {seed}", "smiles": symbols},
        ),
        "coefficients": random.normal(size=size),
        "settings": COMPLETE,
        "converged": True,
        "fit": {"electrons": 1e-3 * seed},
        "provenance": {"file": "none"},
        **{name: values[name] for name in parts},
    }
    return Reference(**{**made, **changes})


def examples(count: int, parts: tuple[str, ...] = FULL) -> Iterator[Reference]:
    return (example(seed, parts) for seed in range(count))


def filled(folder: Path, count: int, parts: tuple[str, ...] = FULL) -> DataSet:
    """A packed data set."""
    made = DataSet.create(folder, BASIS, SETTINGS)
    made.extend(examples(count, parts))
    return made


def assert_same(stored: Reference, given: Reference) -> None:
    """Equal but for the rounding of some arrays to single precision."""
    assert stored.id == given.id
    assert stored.atoms == given.atoms
    assert stored.atoms.info == given.atoms.info
    for name in ("settings", "converged", "energy", "fit", "provenance"):
        assert getattr(stored, name) == getattr(given, name), name
    assert (stored.dipole is None) == (given.dipole is None)
    if given.dipole is not None:
        np.testing.assert_array_equal(stored.dipole, given.dipole)
    for name in ("coefficients", "forces", "projections", "occupied_orbitals"):
        value, expected = getattr(stored, name), getattr(given, name)
        assert (value is None) == (expected is None), name
        if expected is not None:
            single = (array.astype(np.float32) for array in (value, expected))
            np.testing.assert_array_equal(*single, err_msg=name)


def flip(path: Path, position: int, bits: int = 0xFF) -> None:
    """Change one byte of a file."""
    content = bytearray(path.read_bytes())
    content[position] ^= bits
    path.write_bytes(content)
