"""The metatomic side: batches, selected atoms, precision, gradients, other programs."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from metatensor.torch import Labels
from metatomic.torch import (
    ModelEvaluationOptions,
    ModelOutput,
    load_atomistic_model,
    register_autograd_neighbors,
)

from ase_rholearn.model import OUTPUT, load_model
from ase_rholearn.model.systems import to_system
from ase_rholearn.torchscript import quiet_torchscript


def structures() -> list[Atoms]:
    return [molecule("H2O"), Atoms("H"), bulk("C"), molecule("CH3CH2OH"), molecule("H2")]


def test_batch_equals_single_calls(model):
    together = model.coefficients(structures())
    for atoms, coefficients in zip(structures(), together, strict=True):
        np.testing.assert_allclose(coefficients, model.coefficients([atoms])[0], atol=1e-12)


def test_selected_atoms(model):
    """Only the chosen atoms come back, with the coefficients that they have in the whole."""
    both = [molecule("CH3CH2OH"), molecule("H2O")]
    chosen = Labels(["system", "atom"], torch.tensor([[0, 1], [0, 8], [1, 2]]))
    whole, part = model.predict(both), model.predict(both, selected_atoms=chosen)
    found = []
    for key, block in part.items():
        for row, sample in enumerate(block.samples.values.tolist()):
            position = whole.block(key).samples.position(sample)
            expected = whole.block(key).values[position]
            torch.testing.assert_close(block.values[row], expected, rtol=0, atol=1e-12)
            found.append(tuple(sample))
    assert set(found) == {(0, 1), (0, 8), (1, 2)}


def test_tensormap_is_the_documented_one(model):
    tensor = model.predict([molecule("H2O")])
    assert tensor.keys.names == ["o3_lambda", "o3_sigma", "center_type"]
    block = tensor.block({"o3_lambda": 1, "o3_sigma": 1, "center_type": 8})
    assert block.samples.names == ["system", "atom"]
    assert block.components[0].names == ["o3_mu"]
    assert block.components[0].values[:, 0].tolist() == [-1, 0, 1]
    assert block.values.shape == (1, 3, 1)
    absent = tensor.block({"o3_lambda": 3, "o3_sigma": 1, "center_type": 6})
    assert absent.values.shape == (0, 7, 1)


def test_single_precision_agrees_and_double_is_restored(model, model_file):
    atoms = molecule("CH3CH2OH")
    single = load_model(model_file, "cpu", "float32")
    assert single.dtype == "float32"
    assert single.predict([atoms]).block(0).values.dtype == torch.float32
    exact = model.coefficients([atoms])[0]
    error = np.abs(single.coefficients([atoms])[0] - exact).max()
    assert error < 1e-5 * np.abs(exact).max()


def test_single_precision_far_from_the_origin(model_file):
    """Neighbour vectors are formed in double precision: 1000 Angstrom away costs nothing."""
    single = load_model(model_file, "cpu", "float32")
    atoms = molecule("CH3CH2OH")
    moved = atoms.copy()
    moved.translate(1000.0)
    near, far = single.coefficients([atoms])[0], single.coefficients([moved])[0]
    assert np.abs(near - far).max() < 1e-5 * np.abs(near).max()


def test_position_gradient_equals_finite_differences(model, model_file):
    """Through metatomic's own route: autograd in the saved model."""
    with quiet_torchscript():
        loaded = load_atomistic_model(model_file)
    neighbors = loaded.requested_neighbor_lists()[0]
    atoms = molecule("H2CO")
    system = to_system(atoms, [neighbors], torch.float64, torch.device("cpu"))
    system.positions.requires_grad_()
    register_autograd_neighbors(system, system.get_neighbor_list(neighbors))
    options = ModelEvaluationOptions(
        length_unit="angstrom", outputs={OUTPUT: ModelOutput(unit="", sample_kind="atom")}
    )

    def total(values: list[torch.Tensor]) -> torch.Tensor:
        return torch.stack([torch.sin(v).sum() for v in values]).sum()

    output = loaded([system], options, check_consistency=True)[OUTPUT]
    total([block.values for block in output.blocks()]).backward()
    gradient = system.positions.grad.numpy()

    step = 1e-4
    for atom, axis in [(0, 0), (1, 2), (3, 1)]:
        ends = []
        for sign in (1, -1):
            moved = atoms.copy()
            moved.positions[atom, axis] += sign * step
            ends.append(float(total([b.values for b in model.predict([moved]).blocks()])))
        assert gradient[atom, axis] == pytest.approx((ends[0] - ends[1]) / (2 * step), abs=1e-6)


def test_runs_in_a_fresh_process_without_this_package(model, model_file):
    """metatomic alone can load and run the file; featomic is not needed."""
    code = f"""
        import sys
        import metatomic.torch as mta, torch
        model = mta.load_atomistic_model({str(model_file)!r})
        system = mta.System(
            types=torch.tensor([8]), positions=torch.zeros((1, 3), dtype=torch.float64),
            cell=torch.zeros((3, 3), dtype=torch.float64), pbc=torch.tensor([False] * 3))
        from metatensor.torch import Labels, TensorBlock
        names = ["first_atom", "second_atom", "cell_shift_a", "cell_shift_b", "cell_shift_c"]
        block = TensorBlock(
            torch.zeros((0, 3, 1), dtype=torch.float64),
            Labels(names, torch.zeros((0, 5), dtype=torch.int32)),
            [Labels("xyz", torch.arange(3).reshape(3, 1))], Labels.range("distance", 1))
        system.add_neighbor_list(model.requested_neighbor_lists()[0], block)
        options = mta.ModelEvaluationOptions(
            length_unit="angstrom",
            outputs={{"{OUTPUT}": mta.ModelOutput(unit="", sample_kind="atom")}})
        output = model([system], options, check_consistency=True)["{OUTPUT}"]
        assert not {{"featomic", "ase_rholearn"}} & set(sys.modules)
        print(*output.block({{"o3_lambda": 0, "center_type": 8}}).values.flatten().tolist())
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    printed = [float(word) for word in done.stdout.split()]
    np.testing.assert_allclose(printed, model.coefficients([Atoms("O")])[0][:2], atol=1e-12)


def test_loading_does_not_import_featomic(model_file):
    code = (
        "import sys; from ase_rholearn import load_model; "
        f"load_model({str(model_file)!r}); print('featomic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "False", done.stderr


def test_response_of_coefficients_to_positions(model):
    """One backward pass against differences, along a random direction."""
    random = np.random.default_rng(0)
    atoms = molecule("CH3OH")
    response = model.response(atoms)
    np.testing.assert_allclose(response.coefficients, model.coefficients([atoms])[0], atol=1e-12)
    cotangent = random.normal(size=response.coefficients.shape)
    direction, step = random.normal(size=atoms.positions.shape), 1e-4
    sums = []
    for sign in (1, -1):
        moved = atoms.copy()
        moved.positions += sign * step * direction
        sums.append(cotangent @ model.coefficients([moved])[0])
    alone = model.response(Atoms("O"))
    assert not alone.pull_back(np.ones_like(alone.coefficients)).any()
    found = float((response.pull_back(cotangent) * direction).sum())
    assert found == pytest.approx((sums[0] - sums[1]) / (2 * step), rel=1e-5)
