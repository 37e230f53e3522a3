"""The parts of the network against independent definitions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from ase_rholearn.basis import radial_transform, solid_harmonics
from ase_rholearn.model import NeighborDensity, NetworkOptions
from ase_rholearn.model.network.clebsch_gordan import clebsch_gordan, coupled_pairs


@pytest.mark.parametrize("l1", range(4))
@pytest.mark.parametrize("l2", range(4))
def test_clebsch_gordan_couples_harmonics(l1, l2):
    """sum C Y_l1 Y_l2 of one vector is proportional to Y_lambda."""
    points = torch.from_numpy(Rotation.random(20, rng=0).as_matrix()[:, 0].copy())
    harmonics = solid_harmonics(points, 6)
    first, second = (harmonics[:, l * l : (l + 1) ** 2] for l in (l1, l2))
    for o3_lambda in range(abs(l1 - l2), l1 + l2 + 1, 2):
        coupling = clebsch_gordan(l1, l2, o3_lambda)  # [mu, m1, m2]
        coupled = torch.einsum("kmn,pm,pn->pk", coupling, first, second)
        expected = harmonics[:, o3_lambda**2 : (o3_lambda + 1) ** 2]
        ratio = (coupled * expected).sum() / (expected * expected).sum()
        torch.testing.assert_close(coupled, ratio * expected, rtol=0, atol=1e-12)
        assert abs(float(ratio)) > 1e-3


@pytest.mark.parametrize("triple", [(1, 1, 1), (2, 3, 2), (1, 1, 4)])
def test_pseudotensors_and_impossible_couplings_are_refused(triple):
    """The density is a true tensor field: only even l1 + l2 + lambda occur."""
    with pytest.raises(ValueError, match="does not couple to a proper tensor"):
        clebsch_gordan(*triple)


def test_clebsch_gordan_rows_are_orthonormal():
    for l1, l2, o3_lambda in [(1, 1, 2), (2, 3, 3), (4, 4, 0), (2, 4, 6)]:
        flat = clebsch_gordan(l1, l2, o3_lambda).reshape(2 * o3_lambda + 1, -1)
        gram = flat @ flat.T
        torch.testing.assert_close(gram / gram[0, 0], torch.eye(len(gram), dtype=gram.dtype))


def test_coupled_pairs_are_those_of_even_parity():
    pairs = coupled_pairs(4, 3)
    assert all((l1 + l2 + 3) % 2 == 0 and abs(l1 - l2) <= 3 <= l1 + l2 for l1, l2 in pairs)
    assert (1, 2) in pairs
    assert (2, 2) not in pairs


@pytest.mark.parametrize("metric", ["overlap", "coulomb"])
def test_radial_transform_orthonormalises(basis, metric):
    for z in basis.species:
        for l in range(basis.l_max + 1):
            if basis.radial_functions(z, l):
                transform = radial_transform(basis, z, l, metric)
                gram = transform.T @ basis.radial_metric(z, l, metric) @ transform
                np.testing.assert_allclose(gram, np.eye(len(gram)), atol=1e-10)


def test_radial_table_interpolates_featomic(network, density):
    """Halfway between the knots the table is right to 1e-7, and zero beyond the cutoff."""
    from ase import Atoms
    from featomic import SphericalExpansion

    table = network.expansion.table
    for distance in (0.71234, 1.4567, 2.6321):
        atoms = Atoms("CO", positions=[[0, 0, 0], [0, 0, distance]])
        theirs = SphericalExpansion(**density.featomic_hypers()).compute(atoms)
        ours = table(torch.tensor([distance], dtype=torch.float64))[0]
        direction = torch.tensor([[0.0, 0.0, 1.0]], dtype=torch.float64)
        harmonics = solid_harmonics(direction, density.max_angular)[0]
        for l in range(density.max_angular + 1):
            key = {"o3_lambda": l, "o3_sigma": 1, "center_type": 6, "neighbor_type": 8}
            block = theirs.block(key)
            expected = torch.from_numpy(block.values[0, l].copy())  # m = 0
            scaled = ours[l] * harmonics[l * l + l]
            torch.testing.assert_close(scaled, expected, rtol=0, atol=1e-7)
    assert not table(torch.tensor([3.0, 3.5], dtype=torch.float64)).any()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"tensors": -1}, "tensors is -1"),
        ({"tensors": 0, "linear": False}, "the network would be empty"),
        ({"gates": 0}, "gates is 0"),
    ],
)
def test_network_options_are_checked(wrong, message):
    with pytest.raises(ValueError, match=message):
        NetworkOptions(**wrong)


def test_neighbor_density_is_checked():
    with pytest.raises(ValueError, match="cutoff is -1"):
        NeighborDensity(cutoff=-1.0)
    with pytest.raises(ValueError, match=r"scaling_radius is 0.0: give a positive radius .* None"):
        NeighborDensity(scaling_radius=0.0)
    with pytest.raises(ValueError, match="scaling_exponent is -4"):
        NeighborDensity(scaling_radius=2.0, scaling_exponent=-4.0)


def test_network_options_round_trip():
    options = NetworkOptions(density=NeighborDensity(cutoff=4.5, scaling_radius=2.0), tensors=3)
    assert NetworkOptions.from_dict(options.to_dict()) == options
