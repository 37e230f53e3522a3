"""One water molecule, computed once through the package and once by PySCF alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ase import Atoms, units

from ase_rholearn.basis import Basis, even_tempered
from ase_rholearn.references import Reference
from ase_rholearn.references.pyscf import KohnSham, atomic_densities, reference


@pytest.fixture(scope="session")
def water() -> Atoms:
    """Bent, without symmetry, and away from the origin."""
    return Atoms("OHH", [[0.3, -0.2, 0.1], [1.2, -0.1, 0.3], [0.0, 0.5, 0.75]])


@pytest.fixture(scope="session")
def level() -> KohnSham:
    """Quick; tight enough that two runs agree."""
    return KohnSham(xc="PBE", orbital_basis="def2-svp", grid_level=1, conv_tol=1e-11)


@pytest.fixture(scope="session")
def small_basis(level: KohnSham) -> Basis:
    """Deformation basis of hydrogen and oxygen."""
    basis = even_tempered(
        ["H", "O"], beta=2.5, l_max={"H": 1, "O": 2}, orbital_basis=level.orbital_basis
    )
    densities = atomic_densities([1, 8], xc=level.xc, orbital_basis=level.orbital_basis)
    return basis.with_atomic_densities(densities)


@pytest.fixture(scope="session")
def water_reference(water: Atoms, small_basis: Basis, level: KohnSham) -> Reference:
    return reference(water, small_basis, level, keep_orbitals=True)


@pytest.fixture(scope="session")
def run_scf() -> Callable[..., None]:
    """Run a mean-field object, without the temporary file that PySCF does not close."""

    def run(mean_field: Any, checkpoint: Path | None = None) -> None:
        mean_field.chkfile = None if checkpoint is None else str(checkpoint)
        mean_field._chkfile = None
        mean_field.kernel()

    return run


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the run of ``mean_field`` left its checkpoint."""
    return tmp_path_factory.mktemp("pyscf") / "water.chk"


@pytest.fixture(scope="session")
def mean_field(
    water: Atoms, level: KohnSham, checkpoint: Path, run_scf: Callable[..., None]
) -> Any:
    """The calculation of ``water_reference`` in plain PySCF."""
    from pyscf import dft, gto

    molecule = gto.M(
        atom=[(a.symbol, a.position / units.Bohr) for a in water],
        unit="B",
        basis=level.orbital_basis,
        verbose=0,
    )
    mean_field = dft.RKS(molecule, xc=level.xc).density_fit()
    mean_field.grids.level = level.grid_level
    mean_field.conv_tol = level.conv_tol
    run_scf(mean_field, checkpoint)
    return mean_field


@pytest.fixture
def no_scf(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any attempt at a self-consistent run fails the test."""
    from pyscf.scf import hf

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("a self-consistent run was started")

    monkeypatch.setattr(hf, "kernel", refuse)
    monkeypatch.setattr(hf.SCF, "scf", refuse)
