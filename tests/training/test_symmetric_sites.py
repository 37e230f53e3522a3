"""Atoms at which symmetry makes vectors vanish, all that a species has; and charged structures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from ase import Atoms
from product_fits import write_run

from ase_rholearn.aims import BasisInfo, RIFit
from ase_rholearn.basis import from_tensormap
from ase_rholearn.model import load_model
from ase_rholearn.training.collecting import collect

#: What integrals on a grid are off.
NOISE = 1e-4


def tetrahedron() -> Atoms:
    corners = 0.6 * np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    return Atoms("OH4", [[0, 0, 0], *corners.tolist()], info={"charge": 2})


def test_rounding_is_not_learned(
    tmp_path: Path, command: Callable[..., tuple[int, str, str]]
) -> None:
    """Coefficients of l = 1 on the oxygen are noise, and so are its features."""
    atoms = tetrahedron()
    info = BasisInfo(((2, 1), *[(1,)] * 4))
    rng = np.random.default_rng(0)
    overlap = np.eye(info.size)
    coefficients = np.where(info.layout.l == 0, 1.0, 0.0) + NOISE * rng.normal(size=info.size)
    fit = RIFit(info, coefficients, overlap @ coefficients, overlap, 240925)
    run = write_run(tmp_path / "fit", atoms, fit)
    # mean atoms are others, so that there is something to learn
    isolated = RIFit(info, 0.5 * coefficients, 0.5 * coefficients, overlap, 240925)
    alone = write_run(tmp_path / "alone", atoms, isolated)
    collect([run], tmp_path / "data", structures=[atoms], free_atoms=[alone])
    options = {
        "name": "tetrahedron",
        "dataset": str(tmp_path / "data"),
        "output": str(tmp_path / "run"),
        "model": {"max_radial": 3, "tensors": 2, "gates": 2, "invariants": 2},
        "gradient": {"epochs": 0},
    }
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(options))
    status, _, err = command("train", path)
    assert (status, "too few" in err) == (1, True)
    # what could not begin has left nothing that other options would have to agree with
    path.write_text(yaml.safe_dump({**options, "split": {"validation": 0, "test": 0}}))
    assert command("train", path)[0] == 0
    assert command("export", path, "-o", tmp_path / "model.pt")[0] == 0
    model = load_model(tmp_path / "model.pt")
    assert model.card.charges == (2,)
    model.check(atoms)
    with pytest.raises(ValueError, match=r"has charge \+0, .* trained on charges \[2\]"):
        model.check(Atoms("OH4", atoms.positions))
    moved = atoms.copy()
    moved.rattle(1e-3, seed=0)
    for one in (atoms, moved):
        [found] = from_tensormap(model.basis, [one.numbers], model.predict([one]))
        np.testing.assert_allclose(found[info.layout.l == 0], 1.0, atol=0.1)
        np.testing.assert_allclose(found[info.layout.l == 1], 0.0, atol=10 * NOISE)
