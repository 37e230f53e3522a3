"""A network with random weights, so that no test of this room needs trained ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from ase_rholearn.basis import Basis
from ase_rholearn.model import (
    DensityModel,
    DensityNetwork,
    ModelCard,
    NeighborDensity,
    NetworkOptions,
    TrainingHistory,
    build_network,
    export_model,
    load_model,
)


def with_random_weights(network: DensityNetwork, seed: int = 0) -> DensityNetwork:
    """Random weights of a size that makes every part of the network matter."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.requires_grad:
                noise = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
                parameter.copy_(0.3 * noise)
    return network


@pytest.fixture(scope="session")
def randomize() -> Callable[[DensityNetwork], DensityNetwork]:
    """A function that gives a network random weights."""
    return with_random_weights


@pytest.fixture(scope="session")
def density() -> NeighborDensity:
    """A small expansion."""
    return NeighborDensity(cutoff=3.0, max_angular=3, max_radial=4)


@pytest.fixture(scope="session")
def basis() -> Basis:
    """Shells up to l = 3 on carbon; atomic densities make it a deformation density."""
    hydrogen = [(0, [2.0]), (0, [0.5]), (1, [0.8])]
    return Basis.from_shells(
        {
            "H": hydrogen,
            "C": [*hydrogen, (0, [9.0]), (1, [0.3]), (2, [0.7]), (3, [0.6])],
            "O": [(0, [1.1]), (0, [0.4]), (1, [0.9]), (2, [1.3]), (2, [0.5])],
        }
    )


@pytest.fixture(scope="session", params=["plain", "every part"])
def options(density: NeighborDensity, request: pytest.FixtureRequest) -> NetworkOptions:
    """Small networks: linear map, tensors, gates; and one with every other part besides."""
    plain = NetworkOptions(density=density, tensors=3, invariants=5, gates=7, linear=True)
    if request.param == "plain":
        return plain
    return dataclasses.replace(plain, channels=4, messages=2, products=2, depth=2)


@pytest.fixture(scope="session")
def network(basis: Basis, options: NetworkOptions) -> DensityNetwork:
    """The network, in double precision."""
    return with_random_weights(build_network(options, basis))


@pytest.fixture(scope="session")
def card() -> ModelCard:
    """A card with every entry."""
    return ModelCard(
        name="random",
        description="random weights",
        level_of_theory={"xc": "PBE"},
        training={"training_structures": 0},
        errors={"nmae_fit_percent": 12.5},
        charges=(0, -1),
        licence="CC0",
        citation="nobody",
        history=TrainingHistory("validation", {"start": 2.5}, (0, 1), (3.0, 2.5), (3.5, 3.0)),
    )


@pytest.fixture(scope="session")
def model_file(
    network: DensityNetwork, basis: Basis, card: ModelCard, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The network as a double-precision model file."""
    path = tmp_path_factory.mktemp("model") / "model.pt"
    export_model(network, basis, card, path, dtype="float64")
    return path


@pytest.fixture(scope="session")
def model(model_file: Path) -> DensityModel:
    """The model file, loaded."""
    return load_model(model_file, "cpu")
