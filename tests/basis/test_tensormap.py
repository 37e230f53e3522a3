"""Flat vectors and TensorMaps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from metatensor.torch import Labels, TensorBlock, TensorMap

from ase_rholearn.basis import Basis, block_keys, from_tensormap, to_tensormap

BASIS = Basis.from_shells(
    {"H": [(0, [2.0, 0.5]), (1, [0.7])], "C": [(0, [1.0])], "O": [(0, [3.0]), (2, [1.0, 0.6])]}
)


def random_vectors(systems: list[list[int]], seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=BASIS.size(numbers)) for numbers in systems]


def rebuilt(
    tensor: TensorMap, names: list[str] | None = None, drop: set[int] = frozenset()
) -> TensorMap:
    """A copy with other key names, or without the blocks of some species."""
    keep = [i for i, key in enumerate(tensor.keys.values) if int(key[2]) not in drop]
    labels = Labels(names or tensor.keys.names, tensor.keys.values[keep])
    return TensorMap(labels, [tensor.block(i).copy() for i in keep])


@settings(deadline=None, max_examples=30)
@given(st.lists(st.lists(st.sampled_from([1, 6, 8]), min_size=1, max_size=6), max_size=4))
def test_round_trip_is_exact(systems: list[list[int]]) -> None:
    vectors = random_vectors(systems)
    tensor = to_tensormap(BASIS, systems, vectors)
    # all keys are there, whatever species the systems have
    assert len(tensor.keys) == len(block_keys(BASIS)) == 5
    for before, after in zip(vectors, from_tensormap(BASIS, systems, tensor), strict=True):
        np.testing.assert_array_equal(before, after)


def test_labels_are_those_of_the_convention() -> None:
    tensor = to_tensormap(BASIS, [[8, 1], [1, 1]], random_vectors([[8, 1], [1, 1]]))
    assert tensor.keys.names == ["o3_lambda", "o3_sigma", "center_type"]
    assert tensor.keys.values.tolist() == [[0, 1, 1], [0, 1, 6], [0, 1, 8], [1, 1, 1], [2, 1, 8]]
    block = tensor.block({"o3_lambda": 1, "center_type": 1})
    assert block.samples.names == ["system", "atom"]
    assert block.samples.values.tolist() == [[0, 1], [1, 0], [1, 1]]
    assert block.components[0].names == ["o3_mu"]
    assert block.components[0].values.flatten().tolist() == [-1, 0, 1]
    assert block.properties.names == ["n"]
    absent = tensor.block({"o3_lambda": 0, "center_type": 6})
    assert tuple(absent.values.shape) == (0, 1, 1)


def test_values_sit_where_the_layout_says() -> None:
    numbers = [8, 1, 6, 1]
    layout = BASIS.layout(numbers)
    vector = np.arange(BASIS.size(numbers), dtype=float)
    tensor = to_tensormap(BASIS, [numbers], [vector])
    for position, (atom, l, n, m) in enumerate(zip(*layout, strict=True)):
        block = tensor.block({"o3_lambda": int(l), "center_type": numbers[atom]})
        row = block.samples.position([0, int(atom)])
        assert float(block.values[row, l + m, n]) == position


def test_species_key_of_metatrain_is_read() -> None:
    systems = [[1, 8]]
    vectors = random_vectors(systems)
    tensor = to_tensormap(BASIS, systems, vectors)
    renamed = rebuilt(tensor, ["o3_lambda", "o3_sigma", "atom_type"])
    np.testing.assert_array_equal(from_tensormap(BASIS, systems, renamed)[0], vectors[0])


def test_sample_order_does_not_matter() -> None:
    systems = [[1, 1], [1]]
    vectors = random_vectors(systems)
    tensor = to_tensormap(BASIS, systems, vectors)
    blocks = []
    for block in tensor.blocks():
        order = torch.arange(len(block.samples) - 1, -1, -1)
        samples = Labels(["atom", "system"], block.samples.values[order][:, [1, 0]])
        blocks.append(TensorBlock(block.values[order], samples, block.components, block.properties))
    shuffled = TensorMap(tensor.keys, blocks)
    for before, after in zip(vectors, from_tensormap(BASIS, systems, shuffled), strict=True):
        np.testing.assert_array_equal(before, after)


def test_single_precision() -> None:
    systems = [[8]]
    vectors = random_vectors(systems)
    tensor = to_tensormap(BASIS, systems, vectors, dtype=torch.float32)
    assert tensor.block(0).values.dtype == torch.float32
    after = from_tensormap(BASIS, systems, tensor)[0]
    assert after.dtype == np.float64
    np.testing.assert_allclose(after, vectors[0], rtol=1e-6)


def test_blocks_of_absent_species_may_be_missing() -> None:
    systems = [[1, 1]]
    vectors = random_vectors(systems)
    tensor = rebuilt(to_tensormap(BASIS, systems, vectors), drop={6, 8})
    np.testing.assert_array_equal(from_tensormap(BASIS, systems, tensor)[0], vectors[0])


# refusals ----------------------------------------------------------------------------------


def water_tensor() -> TensorMap:
    return to_tensormap(BASIS, [[8, 1, 1]], random_vectors([[8, 1, 1]]))


def test_missing_block() -> None:
    tensor = rebuilt(water_tensor(), drop={8})
    with pytest.raises(ValueError, match="leaves 11 of 21 coefficients of system 0 undefined"):
        from_tensormap(BASIS, [[8, 1, 1]], tensor)


def test_nan() -> None:
    tensor = water_tensor()
    tensor.block(0).values[0] = float("nan")
    with pytest.raises(ValueError, match=r"leaves 2 of 21 .* undefined \(or NaN\)"):
        from_tensormap(BASIS, [[8, 1, 1]], tensor)


def test_other_key_names() -> None:
    tensor = rebuilt(water_tensor(), ["o3_lambda", "o3_sigma", "species"])
    with pytest.raises(ValueError, match=r"has the keys .*species.* center_type \(or atom_type\)"):
        from_tensormap(BASIS, [[8, 1, 1]], tensor)


@pytest.mark.parametrize(
    ("systems", "message"),
    [
        ([[1, 8, 1]], "atom 1 of system 0 as H but numbers have O there"),
        ([[8, 1]], "atom 2 of system 0 as H but numbers have no such atom there"),
        ([], "atom 1 of system 0 as H but numbers have no such atom there"),
        ([[8, 1, 1], [1]], "leaves 5 of 5 coefficients of system 1 undefined"),
    ],
)
def test_other_structures(systems: list[list[int]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_tensormap(BASIS, systems, water_tensor())


def test_other_basis() -> None:
    richer = Basis.from_shells({"H": [(0, [1.0])], "O": [(0, [1.0])]})
    with pytest.raises(ValueError, match=r"blocks \(l, species\) = \[\(1, 1\), \(2, 8\)\] that"):
        from_tensormap(richer, [[8, 1, 1]], water_tensor())
    other = Basis.from_shells({"H": [(0, [1.0]), (1, [1.0])], "O": [(0, [1.0]), (2, [1.0, 2.0])]})
    with pytest.raises(ValueError, match=r"block of l = 0, species 1 has \(1, 2\)"):
        from_tensormap(other, [[8, 1, 1]], water_tensor())


def test_other_samples() -> None:
    tensor = water_tensor()
    blocks = []
    for block in tensor.blocks():
        samples = Labels(["structure", "atom"], block.samples.values)
        blocks.append(TensorBlock(block.values, samples, block.components, block.properties))
    with pytest.raises(ValueError, match=r"has the samples \['structure', 'atom'\]"):
        from_tensormap(BASIS, [[8, 1, 1]], TensorMap(tensor.keys, blocks))


def test_one_vector_a_system() -> None:
    with pytest.raises(ValueError, match="got 2 systems but 1 coefficient vectors"):
        to_tensormap(BASIS, [[1], [1]], random_vectors([[1]]))
    with pytest.raises(ValueError, match=r"coefficients\[1\] has shape \(3,\)"):
        to_tensormap(BASIS, [[1], [1]], [np.zeros(5), np.zeros(3)])
