"""Where the tensors of an evaluation live.

There is no accelerator where tests run. Torch's "meta" device stands for one: it has shapes but
no values, and refuses any operation that mixes it with tensors elsewhere. What comes back holds
no values, so that the way back is replaced.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from ase import Atoms

from ase_rholearn import Basis, Density
from ase_rholearn.density import Grid
from ase_rholearn.density.evaluation import grid_task, points
from ase_rholearn.density.evaluation.device import usable_device
from ase_rholearn.density.evaluation.grid_task import GridTask
from ase_rholearn.density.evaluation.terms import density_terms

SKEW = np.array([[4.0, 0, 0], [1.4, 4.0, 0], [1.0, 0.8, 6.0]])
CELLS = {
    "orthogonal": np.diag([4.0, 5.0, 6.0]),
    "one normal axis": np.array([[4.0, 0, 0], [1.4, 4.0, 0], [0, 0, 6.0]]),
    "skew": SKEW,
}


@pytest.fixture
def meta(monkeypatch: pytest.MonkeyPatch) -> torch.device:
    """A stand-in for an accelerator; what is brought back from it is counted."""
    device = torch.device("meta")
    back = torch.Tensor.cpu

    def bring_back(tensor: torch.Tensor) -> torch.Tensor:
        return torch.zeros(tensor.shape, dtype=tensor.dtype) if tensor.is_meta else back(tensor)

    monkeypatch.setattr(torch.Tensor, "cpu", bring_back)
    return device


@pytest.fixture
def task(small_basis: Basis) -> Callable[..., GridTask]:
    def build(cell: np.ndarray, periodic: bool, **options: object) -> GridTask:
        numbers, centres = np.array([8, 1]), np.array([[0.4, 0.2, 0.8], [2.1, 0.4, 1.2]])
        coefficients = np.random.default_rng(0).normal(size=small_basis.size(numbers))
        terms = density_terms(small_basis, numbers, centres, coefficients, tolerance=1e-9)
        pbc = np.full(3, periodic)
        return GridTask(terms, np.zeros(3), cell, (6, 7, 8), cell, pbc, **options)

    return build


@pytest.mark.parametrize("average", [False, True], ids=["point", "voxel-average"])
@pytest.mark.parametrize("periodic", [False, True], ids=["open", "periodic"])
@pytest.mark.parametrize("cell", CELLS)
def test_grids_are_computed_where_asked(
    cell: str, periodic: bool, average: bool, meta: torch.device, task: Callable[..., GridTask]
) -> None:
    """Every way of grids: all products on the device."""
    there = task(CELLS[cell], periodic, average=average, device=meta, dtype=torch.float32)
    values = there.values(range(1, 4))
    assert values.shape == (3, 7, 8)
    assert values.dtype == np.float32
    assert not values.any()  # nothing was computed on the processor


def test_points_are_computed_where_asked(meta: torch.device, task: Callable[..., GridTask]) -> None:
    there = task(SKEW, True)
    for derivative in ("value", "gradient", "laplacian"):
        values = points.evaluate_at_points(
            there.terms, np.ones((5, 3)), SKEW, there.pbc, derivative=derivative, device=meta
        )
        assert not values.any()


def test_the_processor_by_name(task: Callable[..., GridTask]) -> None:
    here = task(SKEW, True)
    for device in ("cpu", torch.device("cpu"), None):
        named = task(SKEW, True, device=device)
        np.testing.assert_allclose(named.values(), here.values(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("device", ["cuda:99", "meta", "nonsense"])
def test_devices_that_are_not_here(device: str, task: Callable[..., GridTask]) -> None:
    with pytest.raises(
        ValueError, match=rf"device is '{device}', which torch .* give one of \['cpu"
    ):
        task(SKEW, True, device=device)


def test_a_flat_frame_uses_the_device_too(
    monkeypatch: pytest.MonkeyPatch, random_density: Callable[..., Density], small_basis: Basis
) -> None:
    used = []

    def recorded(*arguments: object, device: object, **options: object) -> np.ndarray:
        used.append(device)
        return points.evaluate_at_points(*arguments, device=device, **options)

    monkeypatch.setattr(grid_task, "evaluate_at_points", recorded)
    atoms = Atoms("O", [[0.1, 0.2, 0.3]])
    density = random_density(atoms, small_basis)
    density.on_frame(Grid(np.zeros((2, 2, 1)), np.zeros(3), np.diag([1.0, 1.0, 0.0])))
    assert used == [None]
    assert usable_device(None) == torch.device("cpu")
