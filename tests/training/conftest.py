"""One data set of eight water molecules and one trained network, made once."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms

from ase_rholearn.basis import AtomicDensity, Basis
from ase_rholearn.model import DensityNetwork, NeighborDensity, NetworkOptions, build_network
from ase_rholearn.references.pyscf import KohnSham, reference
from ase_rholearn.training import DataSet
from ase_rholearn.training.learning.train import train
from ase_rholearn.training.options import TrainOptions

LEVEL = KohnSham("PBE", "def2-svp", grid_level=0, conv_tol=1e-8, forces=False)


def distorted_water(count: int, seed: int = 0) -> list[Atoms]:
    """Molecules that are all different, and turned in all directions."""
    random = np.random.default_rng(seed)
    structures = []
    for _ in range(count):
        atoms = Atoms("OHH", [[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]])
        atoms.positions += random.uniform(-0.06, 0.06, (3, 3))
        atoms.rotate(random.uniform(0, 360), random.normal(size=3))
        structures.append(atoms)
    return structures


@pytest.fixture(scope="session")
def level() -> KohnSham:
    return LEVEL


@pytest.fixture(scope="session")
def waters() -> list[Atoms]:
    return distorted_water(8)


@pytest.fixture(scope="session")
def tiny_basis() -> Basis:
    """So small that everything is quick; s, p and d, because each is treated in its own way."""
    basis = Basis.from_shells(
        {
            "H": [(0, [3.0, 0.8, 0.25]), (1, [0.8])],
            "O": [(0, [12.0, 3.0, 0.9, 0.3]), (1, [3.0, 1.0, 0.35]), (2, [1.0])],
        },
        name="tiny",
    )
    return basis.with_atomic_densities(free_atoms())


def free_atoms() -> dict[int, AtomicDensity]:
    """``atomic_densities([1, 8], orbital_basis="def2-svp")``, the same to the last digit.

    Names of references contain it, and the order of names decides how they are divided.
    """
    read = json.loads((Path(__file__).parent / "free_atoms.json").read_text())
    return {int(z): AtomicDensity.from_dict(own) for z, own in read.items()}


@pytest.fixture(scope="session")
def dataset(
    tmp_path_factory: pytest.TempPathFactory, waters: list[Atoms], tiny_basis: Basis
) -> DataSet:
    """Do not write into it."""
    made = DataSet.create(tmp_path_factory.mktemp("water"), tiny_basis, LEVEL.to_dict())
    for atoms in waters:
        made.add(reference(atoms, tiny_basis, LEVEL, keep_orbitals=True))
    return made


@pytest.fixture(scope="session")
def network(tiny_basis: Basis) -> DensityNetwork:
    """Untrained, for what is made of expansions alone. Do not change its weights."""
    density = NeighborDensity(cutoff=3.0, max_angular=2, max_radial=6)
    return build_network(NetworkOptions(density=density, tensors=2), tiny_basis)


Plan = Callable[..., TrainOptions]


@pytest.fixture(scope="session")
def plan(dataset: DataSet) -> Plan:
    """Options of a tiny run in a folder, with changes: ``plan(folder, gradient={...})``."""

    def make(output: Path, **sections: Any) -> TrainOptions:
        options: dict[str, Any] = {
            "name": "tiny",
            "dataset": dataset.folder,
            "output": output,
            "split": {"validation": 0.25, "test": 0.25},
            "model": {
                "cutoff": 3.0,
                "max_angular": 2,
                "max_radial": 3,
                "tensors": 4,
                "invariants": 4,
                "gates": 4,
            },
            "gradient": {"epochs": 4, "batch_size": 2},
        }
        for name, changes in sections.items():
            isdict = isinstance(changes, dict)
            options[name] = {**options.get(name, {}), **changes} if isdict else changes
        return TrainOptions.model_validate(options)

    return make


@dataclass(frozen=True)
class Run:
    """A run that has ended, and what it said."""

    options: TrainOptions
    weights: Path
    said: list[str]


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory, plan: Plan) -> Run:
    """All stages, uninterrupted. Do not write into its folder."""
    options = plan(tmp_path_factory.mktemp("run") / "out")
    said: list[str] = []
    return Run(options, train(options, say=said.append), said)
