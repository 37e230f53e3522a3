"""Models that other programs made: any metatomic model whose output is coefficients."""

from __future__ import annotations

import functools
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from ase.build import molecule
from metatensor.torch import Labels
from metatomic.torch import AtomisticModel, ModelCapabilities, ModelMetadata, ModelOutput

from ase_rholearn import RhoCalculator
from ase_rholearn.basis import Basis
from ase_rholearn.model import DensityModel, DensityNetwork, ModelFileError, load_model
from ase_rholearn.model.wrapper import CoefficientModel
from ase_rholearn.torchscript import quiet_torchscript

TARGET = "mtt::ri_coefficients"

Save = Callable[..., Path]


@pytest.fixture(scope="module")
def save(network: DensityNetwork, basis: Basis, tmp_path_factory: pytest.TempPathFactory) -> Save:
    """Writes the network as another program would: metatrain's names, no basis, no card."""

    @functools.cache  # compiling takes seconds
    def write(*, outputs: tuple[str, ...] = (TARGET,), length_unit: str = "angstrom") -> Path:
        module = CoefficientModel(network, basis).eval()
        module.output = TARGET
        module.keys = Labels(["o3_lambda", "o3_sigma", "atom_type"], module.keys.values)
        capabilities = ModelCapabilities(
            outputs={name: ModelOutput(unit="", sample_kind="atom") for name in outputs},
            atomic_types=list(basis.species),
            interaction_range=3.0,
            length_unit=length_unit,
            supported_devices=["cpu"],
            dtype="float64",
        )
        path = tmp_path_factory.mktemp("others") / "other.pt"
        with quiet_torchscript():
            AtomisticModel(module, ModelMetadata(name="other"), capabilities).save(str(path))
        return path

    return write


def test_it_predicts_like_a_model_of_ours(save: Save, model: DensityModel, basis: Basis) -> None:
    other = load_model(save(), basis=basis)
    assert other.is_foreign
    assert other.card.name == "other"
    structures = [molecule("CH3OH"), molecule("H2O")]
    expected = model.coefficients(structures)
    for mine, theirs in zip(expected, other.coefficients(structures), strict=True):
        np.testing.assert_allclose(theirs, mine, rtol=1e-4, atol=1e-5)
    again = pickle.loads(pickle.dumps(other))
    np.testing.assert_array_equal(
        again.coefficients(structures)[0], other.coefficients(structures)[0]
    )


def test_the_basis_has_to_be_given(save: Save) -> None:
    with pytest.raises(ModelFileError, match=r"\['mtt::ri_coefficients'\], not one of .* basis="):
        load_model(save())


def test_the_calculator_serves_it(
    save: Save, model: DensityModel, basis: Basis, tmp_path: Path
) -> None:
    (tmp_path / "basis.json").write_text(basis.to_json())
    water = molecule("H2O")
    expected = RhoCalculator(model.path).get_density(water).dipole()
    calculator = RhoCalculator(save(), basis=tmp_path / "basis.json")
    again = RhoCalculator(**RhoCalculator(save(), basis=basis).todict())
    for other in (calculator, again, pickle.loads(pickle.dumps(calculator))):
        np.testing.assert_allclose(other.get_density(water).dipole(), expected, atol=1e-5)
    with pytest.raises(FileNotFoundError, match=r"basis is 'nothing\.json': there is no such file"):
        RhoCalculator(save(), basis="nothing.json")


def test_a_basis_that_does_not_fit_is_noticed(save: Save, basis: Basis) -> None:
    shells = {"H": [(0, [2.0])], "C": [(0, [2.0])], "O": [(0, [1.1])]}
    wrong = load_model(save(), basis=Basis.from_shells(shells))
    with pytest.raises(ValueError, match=r"is it the .*basis"):
        wrong.coefficients([molecule("H2O")])


def test_one_output_among_several_is_chosen(save: Save, basis: Basis) -> None:
    outputs = ("feature", "mtt::aux::ri_coefficients_uncertainty", TARGET)
    assert load_model(save(outputs=outputs), basis=basis).output == TARGET
    path = save(outputs=(TARGET, "mtt::second"))
    with pytest.raises(ValueError, match=r"has the outputs .*mtt::second: give output="):
        load_model(path, basis=basis)
    assert load_model(path, basis=basis, output=TARGET).output == TARGET
    with pytest.raises(ValueError, match=r"output is 'rho': .* has mtt::ri_coefficients"):
        load_model(path, basis=basis, output="rho")


def test_other_units_of_length_are_converted(
    save: Save, network: DensityNetwork, basis: Basis
) -> None:
    """The network takes numbers for Angstrom: a file that says nanometres gets others."""
    here = load_model(save(), basis=basis).coefficients([molecule("H2O")])[0]
    there = load_model(save(length_unit="nm"), basis=basis).coefficients([molecule("H2O")])[0]
    assert not np.allclose(here, there)


def test_models_of_ours_know_their_basis(model: DensityModel, basis: Basis) -> None:
    with pytest.raises(ValueError, match=r"basis is given, but .* knows its own: leave it out"):
        load_model(model.path, basis=basis)
    with pytest.raises(ValueError, match=r"output is given, but .* knows its own: leave it out"):
        load_model(model.path, output=TARGET)
    assert not model.is_foreign
    assert model.predict([molecule("H2O")]).block(0).values.dtype == torch.float64
