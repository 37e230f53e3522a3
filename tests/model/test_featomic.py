"""featomic defines the features: values and position gradients must be its own."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from ase.build import molecule
from featomic_pipeline import FeatomicPipeline
from metatomic.torch import ModelOutput, register_autograd_neighbors, systems_to_torch

from ase_rholearn.basis import Basis
from ase_rholearn.model import OUTPUT, NeighborDensity, NetworkOptions, build_network
from ase_rholearn.model.systems import to_system
from ase_rholearn.model.wrapper import CoefficientModel


def random_readout(values: torch.Tensor, l: int) -> torch.Tensor:
    """A scalar whose gradient touches every coefficient with another weight."""
    generator = torch.Generator().manual_seed(l)
    weights = torch.randn(values.shape, generator=generator, dtype=values.dtype)
    return (values * weights).sum()


@pytest.mark.parametrize(("periodic", "scaling"), [(False, None), (True, None), (False, 1.5)])
def test_values_and_gradients(
    basis: Basis, density: NeighborDensity, randomize, periodic: bool, scaling: float | None
):
    """Coefficients to 1e-6 and position gradients to 1e-5, with the same weights."""
    density = dataclasses.replace(density, scaling_radius=scaling, scaling_exponent=6.0)
    options = NetworkOptions(density=density, tensors=0, linear=True)
    network = randomize(build_network(options, basis))
    for species in network.species:  # featomic's product alone, without the package's own parts
        for readout in species.readouts:
            torch.nn.init.zeros_(readout.bias)
            torch.nn.init.zeros_(readout.product.linear)
    atoms = molecule("CH3CH2OH")
    if periodic:
        atoms.set_cell([[5.0, 0, 0], [1.0, 5.2, 0], [0.3, 0.7, 4.9]])
        atoms.pbc = True
    outputs = {OUTPUT: ModelOutput(unit="", sample_kind="atom")}

    theirs = FeatomicPipeline(density, basis, network)
    reference = systems_to_torch(atoms, positions_requires_grad=True).to(torch.float64)
    expected = theirs([reference], outputs, None)[OUTPUT]

    ours = CoefficientModel(network, basis)
    system = to_system(atoms, [ours.neighbors], torch.float64, torch.device("cpu"))
    system.positions.requires_grad_()
    register_autograd_neighbors(system, system.get_neighbor_list(ours.neighbors))
    actual = ours([system], outputs, None)[OUTPUT]

    total_ours = total_theirs = torch.zeros((), dtype=torch.float64)
    for key, block in expected.items():
        values = actual.block(key).values
        torch.testing.assert_close(values, block.values, rtol=0, atol=1e-6)
        total_theirs = total_theirs + random_readout(block.values, int(key["o3_lambda"]))
        total_ours = total_ours + random_readout(values, int(key["o3_lambda"]))
    gradient = torch.autograd.grad(total_ours, system.positions)[0]
    expected_gradient = torch.autograd.grad(total_theirs, reference.positions)[0]
    assert expected_gradient.abs().max() > 0.1
    torch.testing.assert_close(gradient, expected_gradient, rtol=0, atol=1e-5)
