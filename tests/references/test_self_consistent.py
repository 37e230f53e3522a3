"""Cycles on a coarse grid give what cycles on the real one give."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ase import Atoms

from ase_rholearn.references.pyscf import KohnSham
from ase_rholearn.references.pyscf import self_consistent as module
from ase_rholearn.references.pyscf.run import kohn_sham
from ase_rholearn.references.pyscf.self_consistent import self_consistent


def converged(atoms: Atoms, xc: str, level: int = 3) -> tuple[Any, Any]:
    """This package's way, and plain PySCF to ten times its threshold."""
    settings = KohnSham(xc, "def2-svp", grid_level=level, conv_tol=1e-9)
    ours, plain = (kohn_sham(atoms, settings) for _ in range(2))
    assert self_consistent(ours, settings) == ours.e_tot
    plain.conv_tol = 1e-10
    plain.kernel()
    return ours, plain


def assert_same(ours: Any, plain: Any) -> None:
    assert ours.converged
    assert ours.e_tot == pytest.approx(plain.e_tot, abs=1e-9)
    np.testing.assert_allclose(ours.make_rdm1(), plain.make_rdm1(), atol=3e-5)
    np.testing.assert_allclose(ours.mo_energy, plain.mo_energy, atol=3e-5)
    # what follows, such as forces, must find the object as PySCF leaves it
    assert ours.grids.level == plain.grids.level
    np.testing.assert_array_equal(ours.get_hcore(), plain.get_hcore())


@pytest.mark.parametrize("xc", ["LDA,VWN", "PBE", "PBE0", "TPSS"])
def test_same_as_pyscf(water: Atoms, xc: str) -> None:
    assert_same(*converged(water, xc))


def test_real_grid_is_used_twice(water: Atoms, monkeypatch: pytest.MonkeyPatch) -> None:
    from pyscf.dft.numint import NumInt

    levels = []
    whole = NumInt.nr_rks

    def counted(self: Any, molecule: Any, grids: Any, *arguments: Any, **options: Any) -> Any:
        levels.append(grids.level)
        return whole(self, molecule, grids, *arguments, **options)

    monkeypatch.setattr(NumInt, "nr_rks", counted)
    settings = KohnSham("PBE", "def2-svp", grid_level=3)
    self_consistent(kohn_sham(water, settings), settings)
    assert levels.count(3) == 2


def test_cycles_on_the_real_grid_where_the_coarse_one_is_not_enough(
    water: Atoms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_accept_if_converged", lambda *_: None)
    assert_same(*converged(water, "PBE"))
