"""aims.out: traps that real outputs have, and real outputs themselves."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase.io import read
from fits import PUBLIC

from ase_rholearn.aims import read_output
from ase_rholearn.aims.product_table import radial_counts

TRAPS = Path(__file__).parent / "data" / "traps.out"


class TestTraps:
    """An output of our own that has all of them."""

    def test_header(self) -> None:
        found = read_output(TRAPS)
        assert (found.version, found.number_of_atoms, found.spin_channels) == (180607, 2, 2)
        assert (found.number_of_electrons, found.k_points) == (10.5, 2)
        assert found.number_of_states == 3  # less than it said first
        assert found.grid_points == (1234, 1200)
        assert found.product_accuracy == {"He": 1e-4}

    def test_the_product_table_counts_once(self) -> None:
        table = read_output(TRAPS).product_basis
        assert {label: radial_counts(rows) for label, rows in table.items()} == {
            "He": (2, 1),
            "X_1": (0, 0, 1),
        }
        # the last table has no multipole moments
        assert all(row.multipole is None for rows in table.values() for row in rows)

    def test_numbers_too_large_for_their_columns(self, tmp_path: Path) -> None:
        text = TRAPS.read_text()
        first = text[: text.rindex("  Product basis:")]
        (tmp_path / "aims.out").write_text(first)
        rows = read_output(tmp_path).product_basis["He"]
        assert [row.l for row in rows] == [1, 0, 0]
        assert np.isnan([rows[1].field_radius, rows[1].multipole]).all()
        assert rows[2].multipole == -1.329239e-101
        states = read_output(TRAPS).eigenvalues[0].energies
        assert np.isnan(states[0])
        assert states[1] == -8.16342

    def test_states_are_those_of_the_last_cycle(self) -> None:
        found = read_output(TRAPS)
        assert [(e.k_point, e.spin, len(e.energies)) for e in found.eigenvalues] == [
            (0, 0, 3),
            (0, 1, 3),
            (1, 0, 3),
        ]
        assert found.eigenvalues[1].occupations.tolist() == [1, 0.5, 0]
        # and not those with spin-orbit coupling after it
        assert (found.fermi_level, found.gap) == (-4.2, 1.25)

    def test_energies_and_dipole(self) -> None:
        found = read_output(TRAPS)
        assert found.total_energy == -78.7207136400651
        assert found.free_energy == -78.7207136400652
        assert found.energy_parts == {"electrostatic": -127.96742654}
        assert found.dipole is not None
        assert found.dipole.tolist() == [0.1, -0.734380903311127e-101, 0.3]

    def test_an_output_that_is_cut(self) -> None:
        found = read_output(TRAPS)
        assert (found.scf_converged, found.scf_cycles) == (True, 2)
        assert not found.normal_end

    def test_markers_without_cycles_are_no_convergence(self, tmp_path: Path) -> None:
        (tmp_path / "aims.out").write_text(
            "  Self-consistency cycle converged.\n"
            "          | Number of self-consistency cycles          :            0\n"
        )
        found = read_output(tmp_path)
        assert (found.says_converged, found.scf_converged, found.scf_cycles) == (True, False, 0)

    @pytest.mark.parametrize(
        "line",
        [
            "  | Chemical potential (Fermi level):    -4.20000000 eV",
            "  | Chemical potential (Fermi level) in eV                 : -.42000000E+01",
            "  | Chemical Potential                          :    -4.20000000 eV",
        ],
    )
    def test_three_spellings_of_the_fermi_level(self, tmp_path: Path, line: str) -> None:
        (tmp_path / "aims.out").write_text(line + "\n")
        assert read_output(tmp_path).fermi_level == -4.2

    def test_light_output_counts_its_rows(self, tmp_path: Path) -> None:
        (tmp_path / "aims.out").write_text(
            "          Begin self-consistency loop: Initialization.\n"
            "Convergence:    q app. |  density  | eigen (eV) | Etot (eV) |\n"
            "  SCF    1 :  0.14E-13 |  0.62E+00 |  -0.43E+03 |  0.90E+00 |\n"
            "  SCF    2 :  0.14E-13 |  0.62E-09 |  -0.43E-03 |  0.90E-09 |\n"
            "  Self-consistency cycle converged.\n"
        )
        found = read_output(tmp_path)
        assert (found.scf_cycles, found.scf_converged) == (2, True)

    @pytest.mark.parametrize(
        "line",
        [
            "  Updated atomic structure:",
            "  Atomic structure (and velocities) as used in the preceding time step:",
        ],
    )
    def test_atoms_that_move(self, tmp_path: Path, line: str) -> None:
        (tmp_path / "aims.out").write_text(line + "\n")
        assert read_output(tmp_path).atoms_moved

    def test_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match=r"there is no .*aims.out"):
            read_output(tmp_path)


NOMAD = "nomad-electronic-parsers/tests/data/fhiaims"
OUTPUTS: dict[str, dict[str, Any]] = {
    "tdep-tutorials/00_preparation/parsing/FHI-aims/samples/sample.00001/aims.out": {
        "version": 221103,
        "number_of_atoms": 48,
        "number_of_electrons": 3648.0,
        "number_of_states": 2256,
        "k_points": 112,
        "grid_points": (449856, 386712),
        "scf_cycles": 59,
        "total_energy": -23267437.636764221,
        "fermi_level": -6.8030158,
        "homo": -6.80696171,
        "gap": 0.00512126,
        "product_basis": {},
    },
    f"{NOMAD}/He_gw/He_scGW_ontop_PBE.out": {
        "version": 90214,
        "number_of_atoms": 1,
        "number_of_electrons": 2.0,
        "number_of_states": 5,
        "k_points": None,
        "grid_points": (5826, 5826),
        "scf_cycles": 1,
        "total_energy": -78.72071364,
        "fermi_level": -9.209466,
        "homo": -15.76319178,
        "gap": 27.36396814,
        "product_basis": {"He": (3, 2, 1)},
    },
    f"{NOMAD}/GaAs_HSE06+SOC/aims.out": {
        "version": 210413,
        "number_of_atoms": 2,
        "number_of_electrons": 64.0,
        "number_of_states": 43,
        "k_points": 1728,
        "grid_points": (46700, 37524),
        "scf_cycles": 13,
        "total_energy": -115078.90667808,
        "fermi_level": -4.65805431,
        "homo": -5.94369364,
        "gap": 1.32314053,
        "product_basis": {"Ga": (12, 12, 12, 10, 6, 3, 1), "As": (13, 13, 11, 11, 7, 3, 1)},
    },
    f"{NOMAD}/CeO2_dftu/aims_CC.out": {
        "version": 210226,
        "number_of_atoms": 3,
        "number_of_electrons": 74.0,
        "number_of_states": 52,
        "k_points": 1,
        "grid_points": (29316, 26290),
        "scf_cycles": 176,
        "total_energy": -249520.310014138,
        "fermi_level": -6.85532668,
        "homo": -9.66135994,
        "gap": 3.28063656,
        "product_basis": {},
    },
}


def _public(path: str) -> Path:
    assert PUBLIC is not None
    return PUBLIC / path


@pytest.mark.skipif(PUBLIC is None, reason="the public outputs are not here")
class TestRealOutputs:
    @pytest.mark.parametrize("path", OUTPUTS)
    def test_values(self, path: str) -> None:
        found = read_output(_public(path))
        expected = dict(OUTPUTS[path])
        table = {label: radial_counts(rows) for label, rows in found.product_basis.items()}
        assert table == expected.pop("product_basis")
        assert {name: getattr(found, name) for name in expected} == expected
        assert found.scf_converged
        assert found.normal_end
        assert not found.atoms_moved

    @pytest.mark.parametrize("path", OUTPUTS)
    def test_free_energy_forces_and_stress_are_those_that_ase_reads(self, path: str) -> None:
        if "He_gw" in path:
            pytest.skip("ASE does not read an output with self-consistent GW")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            calculator = read(_public(path), format="aims-output", index=-1).calc
        found = read_output(_public(path))
        results = calculator.results
        assert found.free_energy == results["free_energy"]
        if found.forces is None:
            assert "forces" not in results
        else:
            np.testing.assert_array_equal(found.forces, results["forces"])
        if found.stress is not None:
            np.testing.assert_allclose(
                found.stress.ravel()[[0, 4, 8, 5, 2, 1]], results["stress"], atol=1e-8
            )

    def test_overflows_of_helium(self) -> None:
        rows = read_output(_public(f"{NOMAD}/He_gw/He_scGW_ontop_PBE.out")).product_basis["He"]
        assert [row.l for row in rows] == [1, 0, 0, 2, 1, 0]
        assert [np.isnan(row.multipole) for row in rows] == [False, True, *[False] * 4]
        assert rows[-1].field_radius == 3.3518e12

    def test_a_hybrid_functional_has_no_multipoles(self) -> None:
        table = read_output(_public(f"{NOMAD}/GaAs_HSE06+SOC/aims.out")).product_basis
        assert {row.multipole for rows in table.values() for row in rows} == {None}
