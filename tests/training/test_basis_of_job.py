"""Jobs that go on elsewhere keep the basis of their data set."""

from __future__ import annotations

import json
from pathlib import Path

from ase_rholearn.basis import Basis
from ase_rholearn.training import DataSet
from ase_rholearn.training.generation.basis import basis_of_job
from ase_rholearn.training.options import BasisOptions, KohnShamOptions

OPTIONS = BasisOptions(species=["H"])
LEVEL = KohnShamOptions(orbital_basis="sto-3g", grid_level=0)


def changed(basis: Basis, factor: float) -> Basis:
    """The basis as another processor may compute it: amplitudes with other last digits."""
    data = json.loads(basis.to_json())
    amplitudes = data["atomic_densities"]["H"]["amplitudes"]
    data["atomic_densities"]["H"]["amplitudes"] = [a * factor for a in amplitudes]
    return Basis.from_dict(data)


def test_rounding_of_another_machine_is_forgiven(tmp_path: Path) -> None:
    built = basis_of_job(OPTIONS, LEVEL, [], tmp_path / "none")
    elsewhere = changed(built, 1 + 1e-13)
    DataSet.create(tmp_path / "elsewhere", elsewhere, {})
    assert basis_of_job(OPTIONS, LEVEL, [], tmp_path / "elsewhere") == elsewhere != built


def test_another_basis_is_not(tmp_path: Path) -> None:
    built = basis_of_job(OPTIONS, LEVEL, [], tmp_path / "none")
    DataSet.create(tmp_path / "other", changed(built, 1.001), {})
    assert basis_of_job(OPTIONS, LEVEL, [], tmp_path / "other") == built
