"""Densities of free atoms against PySCF's own, on another mesh than the fit's."""

from __future__ import annotations

import numpy as np
import pytest

from ase_rholearn.references.pyscf import atomic_densities
from ase_rholearn.references.pyscf import atoms as atoms_module


def exact_density(symbol: str, r: np.ndarray) -> np.ndarray:
    """Of the spherical atom, averaged over directions, from its density matrix."""
    from pyscf import dft, gto
    from pyscf.scf.atom_ks import get_atm_nrks

    molecule = gto.M(atom=[(symbol, (0, 0, 0))], basis="def2-svp", spin=None, verbose=0)
    _, _, orbitals, occupations = get_atm_nrks(molecule, xc="PBE")[symbol]
    matrix = (orbitals * occupations) @ orbitals.T
    directions = np.random.default_rng(1).normal(size=(4, 3))
    directions /= np.linalg.norm(directions, axis=1)[:, None]
    total = np.zeros(len(r))
    for direction in directions:
        values = dft.numint.eval_ao(molecule, r[:, None] * direction)
        total += np.einsum("gp,pq,gq->g", values, matrix, values) / len(directions)
    return total


# PySCF uses what it deprecates itself
@pytest.mark.filterwarnings("ignore:remove_linear_dep_:DeprecationWarning")
@pytest.mark.parametrize(("symbol", "z"), [("H", 1), ("He", 2), ("C", 6), ("O", 8), ("Na", 11)])
def test_fit_to_the_free_atom(symbol: str, z: int) -> None:
    density = atomic_densities([z], orbital_basis="def2-svp")[z]
    assert density.number_of_electrons == pytest.approx(z, abs=1e-9)
    r = np.geomspace(1e-4, 30, 3001)
    error = np.abs(density.value(r) - exact_density(symbol, r))
    assert np.trapezoid(4 * np.pi * r**2 * error, r) < 1.05e-4


def test_level_of_theory_matters() -> None:
    """The baseline is that of the same functional and basis as the molecules."""
    first = atomic_densities([8], orbital_basis="def2-svp")[8]
    second = atomic_densities([8], xc="LDA,VWN", orbital_basis="def2-svp")[8]
    assert first != second


def test_unknown_functional() -> None:
    with pytest.raises(ValueError, match=r"xc is 'PBEE', which PySCF does not know: give a func"):
        atomic_densities([1], xc="PBEE", orbital_basis="def2-svp")


def test_a_fit_that_is_not_good_enough_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Better no baseline than a wrong one: every error of it would have to be learned."""
    monkeypatch.setattr(atoms_module, "_BETAS", (4.0,))
    message = r"free H atom could be fitted only to .* \(1e-04 is needed\): use another orbital_b"
    with pytest.raises(RuntimeError, match=message):
        atomic_densities([1], orbital_basis="def2-svp")
