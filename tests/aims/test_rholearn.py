"""Processed files of rholearn, made here; its own public ones are in test_public_fits."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import molecule
from fits import basis_of, made_up_fit
from metatensor.torch import Labels, TensorBlock, TensorMap, save

from ase_rholearn.aims import RIFit
from ase_rholearn.aims.rholearn import has_rholearn_fit, read_rholearn_fit

WATER = molecule("H2O")


def labels(name: str, values: list[int]) -> Labels:
    return Labels([name], torch.tensor(values, dtype=torch.int32).reshape(-1, 1))


def vector_map(
    atoms: Atoms, fit: RIFit, vector: np.ndarray, raised: Mapping[int, int]
) -> TensorMap:
    """Keys o3_lambda, o3_sigma, center_type; atomic numbers of some atoms are raised."""
    layout, keys, blocks = fit.basis.layout, [], []
    types = [int(z) + raised.get(atom, 0) for atom, z in enumerate(atoms.numbers)]
    for l in range(max(fit.basis.l_max) + 1):
        for z in dict.fromkeys(types):
            own = [a for a, t in enumerate(types) if t == z and l < len(fit.basis.counts[a])]
            if not own:
                continue
            values = [
                vector[(layout.atom == a) & (layout.l == l)].reshape(-1, 2 * l + 1).T for a in own
            ]
            keys.append([l, 1, z])
            blocks.append(
                TensorBlock(
                    torch.from_numpy(np.array(values)),
                    Labels(["system", "atom"], torch.tensor([[3, a] for a in own])),
                    [labels("o3_mu", list(range(-l, l + 1)))],
                    labels("n", list(range(values[0].shape[1]))),
                )
            )
    return TensorMap(Labels(["o3_lambda", "o3_sigma", "center_type"], torch.tensor(keys)), blocks)


def overlap_map(atoms: Atoms, fit: RIFit) -> TensorMap:
    """Each pair of atoms once; those of different atoms doubled."""
    assert fit.overlap is not None
    starts, found = fit.basis.offsets, {}
    for first in range(len(atoms)):
        for second in range(first, len(atoms)):
            key = (int(atoms.numbers[first]), int(atoms.numbers[second]))
            part = fit.overlap[
                starts[first] : starts[first + 1], starts[second] : starts[second + 1]
            ]
            own = found.setdefault(key, ([], []))
            own[0].append([3, first, second])
            own[1].append(part * (1 if first == second else 2))
    blocks = [
        TensorBlock(
            torch.from_numpy(np.array(values)),
            Labels(["system", "atom_1", "atom_2"], torch.tensor(samples)),
            [labels("l1_n1_m1", list(range(values[0].shape[0])))],
            labels("l2_n2_m2", list(range(values[0].shape[1]))),
        )
        for samples, values in found.values()
    ]
    keys = torch.tensor([list(key) for key in found])
    return TensorMap(Labels(["center_1_type", "center_2_type"], keys), blocks)


def written(
    folder: Path, atoms: Atoms, fit: RIFit, raised: Mapping[int, int] | None = None
) -> Path:
    assert fit.projections is not None
    folder.mkdir()
    for name, vector in (("ri_coeffs", fit.coefficients), ("ri_projs", fit.projections)):
        save(str(folder / f"{name}.npz"), vector_map(atoms, fit, vector, raised or {}))
    save(str(folder / "ri_ovlp.npz"), overlap_map(atoms, fit))
    return folder


def test_files_read_back(tmp_path: Path) -> None:
    fit = made_up_fit(basis_of(WATER))
    found = read_rholearn_fit(written(tmp_path / "run", WATER, fit), WATER)
    for name in ("basis", "coefficients", "projections", "overlap"):
        np.testing.assert_array_equal(getattr(found, name), getattr(fit, name))
    (tmp_path / "run" / "ri_ovlp.npz").unlink()
    assert read_rholearn_fit(tmp_path / "run", WATER).overlap is None
    assert not has_rholearn_fit(tmp_path)


def test_labels_are_raised_atomic_numbers(tmp_path: Path) -> None:
    fit = made_up_fit(basis_of(WATER))
    found = read_rholearn_fit(written(tmp_path / "run", WATER, fit, {1: 1000}), WATER)
    np.testing.assert_array_equal(found.coefficients, fit.coefficients)


def test_what_is_refused(tmp_path: Path) -> None:
    folder = written(tmp_path / "run", WATER, made_up_fit(basis_of(WATER)))
    with pytest.raises(ValueError, match="atom 0 has atomic number 8, which is not so in H2O"):
        read_rholearn_fit(folder, WATER[[1, 0, 2]])
    with pytest.raises(FileNotFoundError, match=r"ri_coeffs\.npz"):
        read_rholearn_fit(tmp_path, WATER)
    hydrogen = Atoms("H", [[0, 0, 0]])
    other = written(tmp_path / "other", hydrogen, made_up_fit(basis_of(hydrogen)))
    (folder / "ri_projs.npz").write_bytes((other / "ri_projs.npz").read_bytes())
    with pytest.raises(ValueError, match=r"ri_projs\.npz.*are the files of one structure"):
        read_rholearn_fit(folder, WATER)
    (folder / "ri_projs.npz").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"ri_projs\.npz is no TensorMap"):
        read_rholearn_fit(folder, WATER)
