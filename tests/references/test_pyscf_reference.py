"""Reference runs: what they return against plain PySCF, and what they refuse."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
from ase import Atoms, units

from ase_rholearn.basis import AtomicDensity, Basis
from ase_rholearn.density import Density
from ase_rholearn.references import NotConvergedError, Reference
from ase_rholearn.references.pyscf import KohnSham, reference

HYDROXIDE = Atoms("OH", [[0, 0, 0], [0, 0, 0.97]], info={"charge": -1})


def test_energy_and_forces(water_reference: Reference, mean_field: Any) -> None:
    gradient = mean_field.nuc_grad_method()
    gradient.grid_response = True
    assert water_reference.energy == pytest.approx(mean_field.e_tot * units.Hartree, abs=1e-6)
    assert water_reference.forces is not None
    expected = -gradient.kernel() * units.Hartree / units.Bohr
    np.testing.assert_allclose(water_reference.forces, expected, atol=1e-4)
    # with the response of the grid nothing pushes the molecule as a whole
    np.testing.assert_allclose(water_reference.forces.sum(axis=0), 0, atol=1e-4)


def test_forces_are_slopes_of_the_energy(
    water: Atoms, small_basis: Basis, level: KohnSham, water_reference: Reference
) -> None:
    step, energies = 1e-3, []
    for sign in (1, -1):
        moved = water.copy()
        moved.positions[1, 2] += sign * step
        energies.append(reference(moved, small_basis, replace(level, forces=False)).energy)
    assert water_reference.forces is not None
    slope = (energies[0] - energies[1]) / (2 * step)
    assert water_reference.forces[1, 2] == pytest.approx(-slope, abs=5e-4)


def test_dipole(water_reference: Reference, small_basis: Basis, mean_field: Any) -> None:
    expected = mean_field.dip_moment(unit="AU", verbose=0) * units.Bohr
    np.testing.assert_allclose(water_reference.dipole, expected, atol=1e-6)
    fitted = Density(water_reference.atoms, small_basis, water_reference.coefficients)
    np.testing.assert_allclose(fitted.dipole(), expected, atol=0.01)


def test_dipole_of_an_ion_is_about_the_centre_of_nuclear_charge(
    small_basis: Basis, level: KohnSham
) -> None:
    """It must not depend on where the ion is."""
    there = HYDROXIDE.copy()
    there.translate([3.0, -2.0, 1.0])
    quick = replace(level, forces=False)
    here = reference(HYDROXIDE, small_basis, quick)
    np.testing.assert_allclose(reference(there, small_basis, quick).dipole, here.dipole, atol=1e-5)
    fitted = Density(here.atoms, small_basis, here.coefficients)
    np.testing.assert_allclose(fitted.dipole(), here.dipole, atol=0.02)


@pytest.mark.parametrize("source", ["info", "initial_charges", "numpy"])
def test_charge(small_basis: Basis, level: KohnSham, source: str) -> None:
    """However the charge is given, it counts, and is known later."""
    ion = HYDROXIDE.copy()
    if source == "numpy":
        ion.info["charge"] = np.int64(-1)
    if source == "initial_charges":
        del ion.info["charge"]
        ion.set_initial_charges([-0.8, -0.2])
    made = reference(ion, small_basis, replace(level, forces=False), keep_orbitals=True)
    assert made.occupied_orbitals is not None
    assert made.occupied_orbitals.shape[1] == 5
    # a fit without constraint, in a basis without diffuse functions
    assert made.fit["electron_error"] == pytest.approx(0, abs=0.1)


def test_all_settings_are_kept(water_reference: Reference, level: KohnSham) -> None:
    settings = dict(water_reference.settings)
    assert settings.pop("basis")["name"] == "etb(beta=2.5, def2-svp)"
    assert settings == {"code": "pyscf", "method": "rks", **asdict(level)}
    assert water_reference.converged is True


def test_forces_and_orbitals_are_optional(
    water: Atoms, small_basis: Basis, level: KohnSham
) -> None:
    made = reference(water, small_basis, replace(level, forces=False, density_fit=False))
    assert made.forces is None
    assert made.occupied_orbitals is None


def test_defaults() -> None:
    """What DESIGN.md promises where nothing is said."""
    settings = KohnSham()
    assert (settings.xc, settings.orbital_basis) == ("PBE", "def2-tzvp")
    assert settings.metric == "coulomb"


def test_no_convergence(water: Atoms, small_basis: Basis, level: KohnSham) -> None:
    with pytest.raises(NotConvergedError, match=r"PBE/def2-svp did not converge for H2O in 1 cyc"):
        reference(water, small_basis, replace(level, max_cycle=1))


def test_odd_electrons(water: Atoms, small_basis: Basis, level: KohnSham) -> None:
    cation = water.copy()
    cation.info["charge"] = 1
    with pytest.raises(ValueError, match=r"H2O with charge 1 has 9 electrons, an open shell"):
        reference(cation, small_basis, level)


@pytest.mark.parametrize("how", ["moments", "spin"])
def test_spin(water: Atoms, small_basis: Basis, level: KohnSham, how: str) -> None:
    magnetic = water.copy()
    if how == "moments":
        magnetic.set_initial_magnetic_moments([2, 0, 0])
    else:
        magnetic.info["spin"] = 2
    with pytest.raises(ValueError, match=r"magnetic moments .* only closed shells .* remove them"):
        reference(magnetic, small_basis, level)


def test_more_charge_than_electrons(small_basis: Basis, level: KohnSham) -> None:
    proton = Atoms("H", info={"charge": 3})
    with pytest.raises(ValueError, match=r"H with charge 3 has -2 electrons: check the charge"):
        reference(proton, small_basis, level)


def test_effective_core_potential(level: KohnSham) -> None:
    iodine = Basis.from_shells(
        {"I": [(0, [1.0])]}, atomic_densities={53: AtomicDensity((1.0,), (1.0,))}
    )
    molecule = Atoms("I2", [[0, 0, 0], [0, 0, 2.7]])
    with pytest.raises(ValueError, match=r"'def2-svp' has an effective core potential for I: give"):
        reference(molecule, iodine, level)


def test_unknown_orbital_basis(water: Atoms, small_basis: Basis, level: KohnSham) -> None:
    with pytest.raises(
        ValueError, match=r"orbital_basis is 'nope', which PySCF does not have for H"
    ):
        reference(water, small_basis, replace(level, orbital_basis="nope"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"xc": "PBEE"}, r"xc is 'PBEE', which PySCF does not know: give a functional such as"),
        ({"metric": "L1"}, r'metric is \'L1\': give "coulomb" or "overlap"'),
        ({"grid_level": 10}, r"grid_level is 10: give 0 to 9"),
        ({"conv_tol": 1.0}, r"conv_tol is 1.0: give a small energy in Hartree"),
        ({"max_cycle": 0}, r"max_cycle is 0: give 1 or more"),
    ],
)
def test_settings_that_make_no_sense(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        KohnSham(**options)


def test_bad_structures(water: Atoms, small_basis: Basis, level: KohnSham) -> None:
    periodic = water.copy()
    periodic.set_cell([5, 5, 5])
    periodic.pbc = True
    with pytest.raises(ValueError, match=r"atoms.pbc is \[True, True, True\]: .* set pbc=False"):
        reference(periodic, small_basis, level)
    methane = Atoms("CH", [[0, 0, 0], [0, 0, 1.1]], info={"charge": -1})
    with pytest.raises(ValueError, match=r"does not know the species C: it has H, O"):
        reference(methane, small_basis, level)
    with pytest.raises(ValueError, match=r"atoms has no atoms: give a structure"):
        reference(Atoms(), small_basis, level)
