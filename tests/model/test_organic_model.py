"""The shipped model of organic molecules, on structures that it was not trained on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase.build import molecule
from scipy.spatial.transform import Rotation

from ase_rholearn import Density, RhoCalculator
from ase_rholearn.density import nmae
from ase_rholearn.references import Reference
from ase_rholearn.training.data import DataSet, read_split

RECIPE = Path(__file__).parents[2] / "models" / "organic-pbe"


@pytest.fixture(scope="module")
def calculator() -> RhoCalculator:
    return RhoCalculator("organic-pbe", device="cpu")


@pytest.fixture(scope="module")
def held_out() -> list[Reference]:
    """The smallest three test molecules with carbon."""
    dataset = DataSet.open(RECIPE / "densities")
    names = read_split(RECIPE / "split.json", dataset.ids)["test"]
    known = [r for r in map(dataset.load, names) if 6 in r.atoms.numbers]
    return sorted(known, key=lambda reference: len(reference.atoms))[:3]


def test_molecules_of_training_and_test_differ() -> None:
    dataset = DataSet.open(RECIPE / "densities")
    parts = read_split(RECIPE / "split.json", dataset.ids)
    smiles = {
        part: {dataset.notes(name)["info"]["smiles"] for name in names}
        for part, names in parts.items()
    }
    assert not smiles["training"] & smiles["test"]
    assert not smiles["training"] & smiles["validation"]
    assert not smiles["validation"] & smiles["test"]


@pytest.mark.filterwarnings("ignore:.* unlike those of the training set")
def test_densities_are_those_of_the_references(
    calculator: RhoCalculator, held_out: list[Reference]
) -> None:
    for reference in held_out:
        rho = calculator.get_density(reference.atoms)
        fitted = Density(reference.atoms, rho.basis, reference.coefficients)
        assert nmae(rho, fitted, level=1) < 2.0
        assert rho.number_of_electrons == pytest.approx(reference.atoms.numbers.sum(), abs=1e-8)


def test_dipoles_turn_with_the_molecule(calculator: RhoCalculator) -> None:
    atoms = molecule("CH3CONH2")
    turned = atoms.copy()
    matrix = Rotation.random(rng=np.random.default_rng(3)).as_matrix()
    turned.positions = atoms.positions @ matrix.T
    first, second = (calculator.get_density(a).dipole() for a in (atoms, turned))
    np.testing.assert_allclose(second, matrix @ first, atol=1e-4)


def test_ions_and_other_elements_are_refused(calculator: RhoCalculator) -> None:
    ion = molecule("CH4")
    ion.info["charge"] = 1
    with pytest.raises(ValueError, match=r"has charge \+1"):
        calculator.get_density(ion)
    with pytest.raises(ValueError, match=r"does not know the species Si: .* shipped models are"):
        calculator.get_density(molecule("SiH4"))


def test_it_is_small() -> None:
    assert (RECIPE / "model.pt").stat().st_size < 30e6
