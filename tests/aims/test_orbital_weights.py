"""Weights of orbitals, which are experimental."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase.build import molecule

from ase_rholearn.aims.orbital_weights import (
    EnergyWindow,
    States,
    orbital_weights,
    read_states,
)
from ase_rholearn.aims.run import run_all
from ase_rholearn.aims.settings import AimsSettings
from ase_rholearn.aims.setup import set_up

ENERGIES = np.array([-20.0, -9.0, -10.0, 1.0, 0.5])
ONE = np.ones(5, int)
STATES = States(ONE, ONE, ONE / 1.0, np.array([2.0, 2, 2, 0, 0]), ENERGIES)


def test_orbitals_are_those_next_to_the_gap() -> None:
    assert orbital_weights(STATES, "homo").tolist() == [0, 1, 0, 0, 0]
    assert orbital_weights(STATES, "lumo").tolist() == [0, 0, 0, 0, 1]
    spins = replace(STATES, spin=np.array([1, 1, 2, 1, 2]), occupation=STATES.occupation / 2)
    assert orbital_weights(spins, "homo").tolist() == [0, 1, 0, 0, 0]


def test_windows_count_states_and_add_up() -> None:
    window = EnergyWindow(-11.0, 0.0, 0.2)
    found = orbital_weights(STATES, "ildos", window, fermi_level=-1.0)
    np.testing.assert_allclose(found, [0, 1, 1, 0, 0], atol=1e-6)
    halves = [
        orbital_weights(STATES, "ildos", EnergyWindow(low, high, 0.2), -1.0)
        for low, high in ((-11.0, -8.1), (-8.1, 0.0))
    ]
    np.testing.assert_allclose(sum(halves), found, atol=1e-14)
    # at an edge, half of a state counts
    edge = orbital_weights(STATES, "ildos", EnergyWindow(-8.0, 0.0, 0.2), -1.0)
    assert edge[1] == pytest.approx(0.5)


def test_what_cannot_be() -> None:
    with pytest.raises(ValueError, match="several k-points"):
        orbital_weights(replace(STATES, k_point=np.array([1, 1, 2, 2, 2])), "homo")
    with pytest.raises(ValueError, match="no lumo among"):
        orbital_weights(replace(STATES, occupation=2 * np.ones(5)), "lumo")
    with pytest.raises(ValueError, match="needs a window"):
        orbital_weights(STATES, "ildos")
    with pytest.raises(ValueError, match="give low < high"):
        EnergyWindow(1.0, 0.0)


def test_a_fit_gets_the_weights_of_its_scf(
    tmp_path: Path, settings: AimsSettings, command_line: str
) -> None:
    with_orbitals = replace(settings, quantity="homo", experimental=True)
    (folder,) = set_up([molecule("H2O")], tmp_path, with_orbitals)
    assert run_all(tmp_path, command=command_line)[0].done
    states = read_states(folder / "scf/eigenstate_info.out")
    assert states.energy.tolist() == [-10.5, 1.5]
    assert np.loadtxt(folder / "fit/eigenstate_occs.in").tolist() == [1, 0]
