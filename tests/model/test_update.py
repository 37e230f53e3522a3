"""Files written again with the code of this version predict what they did."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from ase.build import molecule

from ase_rholearn.basis import Basis
from ase_rholearn.model import (
    DensityNetwork,
    EnergyHead,
    EnergyOptions,
    ModelCard,
    NuclearRepulsion,
    export_model,
    load_model,
    update_model,
)

ETHANOL = molecule("CH3CH2OH")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_same_coefficients_and_card(
    network: DensityNetwork, basis: Basis, card: ModelCard, tmp_path: Path, dtype: str
) -> None:
    old, new = tmp_path / "old.pt", tmp_path / "new.pt"
    export_model(network, basis, card, old, dtype=dtype)  # type: ignore[arg-type]
    update_model(old, new)
    first, second = load_model(old, "cpu"), load_model(new, "cpu")
    assert (second.dtype, second.card) == (dtype, card)
    assert second.basis.to_json() == basis.to_json()
    assert second.metadata == first.metadata
    scale = np.abs(first.coefficients([ETHANOL])[0]).max()
    np.testing.assert_allclose(
        second.coefficients([ETHANOL])[0],
        first.coefficients([ETHANOL])[0],
        rtol=0,
        atol=scale * (1e-12 if dtype == "float64" else 1e-5),
    )


@pytest.mark.parametrize("repels", [False, True])
def test_same_energies(
    network: DensityNetwork,
    basis: Basis,
    tmp_path: Path,
    randomize: Callable[[torch.nn.Module], EnergyHead],
    repels: bool,
) -> None:
    """In place, with and without the pair potential."""
    onset = torch.full((3, 3), 1.2, dtype=torch.float64)
    repulsion = NuclearRepulsion(basis.species, onset) if repels else None
    options = EnergyOptions(pairs=4, products=3, gates=6)
    head = randomize(EnergyHead(network.expansion, options, repulsion))
    path = tmp_path / "model.pt"
    export_model(network, basis, ModelCard("x"), path, dtype="float64", energy=head)
    before = load_model(path, "cpu").potential(ETHANOL)
    update_model(path, path)
    after = load_model(path, "cpu").potential(ETHANOL)
    np.testing.assert_allclose(after.energy, before.energy, rtol=1e-12)
    np.testing.assert_allclose(after.forces, before.forces, atol=1e-10)
