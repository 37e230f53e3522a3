"""Geometries, grids, cubes, species, and what defines a product basis."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ase_rholearn.aims.ase_io import geometry_text
from ase_rholearn.aims.basis_keywords import parse_basis_keywords
from ase_rholearn.aims.cube_requests import CubeGrid, cube_block, find_cube
from ase_rholearn.aims.geometry import read_geometry
from ase_rholearn.aims.grid_files import read_grid_density
from ase_rholearn.aims.species import species_sections
from ase_rholearn.density import read_grid
from ase_rholearn.density.frame import grid_frame

WATER = molecule("H2O")


class TestGeometry:
    @pytest.mark.parametrize("atoms", [WATER, bulk("NaCl", "rocksalt", a=5.64)])
    def test_what_is_written_reads_back(self, atoms: Atoms, tmp_path: Path) -> None:
        (tmp_path / "geometry.in").write_text(geometry_text(atoms))
        found = read_geometry(tmp_path)
        assert found.labels == tuple(atoms.symbols)
        np.testing.assert_allclose(found.atoms.positions, atoms.positions, rtol=0, atol=2e-16)
        np.testing.assert_allclose(found.atoms.cell, atoms.cell, rtol=0, atol=2e-16)
        assert found.atoms.pbc.tolist() == atoms.pbc.tolist()

    def test_labels_fractions_and_moments(self, tmp_path: Path) -> None:
        (tmp_path / "geometry.in").write_text(
            "# comment\nlattice_vector 4 0 0\nlattice_vector 0 4 0\nlattice_vector 0 0 4\n"
            "atom_frac 0.5 0.25 0.0 C_1 # carbon\n   initial_moment 1.0\natom_frac 0.1 0.2 0.3 H\n"
        )
        found = read_geometry(tmp_path / "geometry.in")
        assert found.labels == ("C_1", "H")
        np.testing.assert_allclose(found.atoms.positions, [[2, 1, 0], [0.4, 0.8, 1.2]])
        assert found.atoms.get_initial_magnetic_moments().tolist() == [1, 0]

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("empty 0 0 0 C\natom 0 0 0 H\n", "empty sites"),
            ("# nothing\n", "no atoms"),
            ("atom 0 0 0 Xy_1\n", "does not begin with the symbol"),
            ("atom 0 zero 0 H\n", "cannot be read"),
            ("atom 0 0 0 H\natom_frac 0 0 0.5 H\n", "cannot be read: .*mixture"),
        ],
    )
    def test_bad_files(self, tmp_path: Path, text: str, message: str) -> None:
        (tmp_path / "geometry.in").write_text(text)
        with pytest.raises(ValueError, match=message):
            read_geometry(tmp_path)


class TestGridFiles:
    points = np.array([[0.0, 0, 0], [0, 0, 1], [0, 1, 0], [1, 0, 0]])

    def write(self, folder: Path, name: str, values: list[float], order: list[int]) -> None:
        lines = [
            f"  {x:.6f} {y:.6f} {z:.6f} {v:.15E}\n"
            for (x, y, z), v in zip(self.points[order], np.array(values)[order], strict=True)
        ]
        (folder / name).write_text("".join(lines))

    def test_points_are_brought_to_one_order(self, tmp_path: Path) -> None:
        self.write(tmp_path, "rho_scf.out", [1.0, 2, 3, 4], [2, 0, 3, 1])
        self.write(tmp_path, "rho_rebuilt_ri.out", [1.1, 2, 2.9, 4], [0, 3, 2, 1])
        self.write(tmp_path, "partition_tab.out", [0.5, 1, 2, 1], [3, 2, 1, 0])
        found = read_grid_density(tmp_path)
        np.testing.assert_array_equal(found.points, self.points)
        assert found.electrons() == pytest.approx(12.5)
        assert found.nmae() == pytest.approx(100 * (0.05 + 0.2) / 12.5)

    def test_bad_files(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match="partition_tab"):
            read_grid_density(tmp_path)
        self.write(tmp_path, "partition_tab.out", [1.0, 1, 1, 1], [0, 1, 2, 3])
        with pytest.raises(FileNotFoundError, match="neither"):
            read_grid_density(tmp_path)
        self.write(tmp_path, "rho_scf.out", [1.0, 1, 1], [0, 1, 2])
        with pytest.raises(ValueError, match="other points"):
            read_grid_density(tmp_path)
        (tmp_path / "rho_scf.out").write_text("1 2 3 4\n1 2 3\n5 6 7 8\n")
        with pytest.raises(ValueError, match=r"rho_scf.out, line 2: '1 2 3' is not 4 numbers"):
            read_grid_density(tmp_path)


class TestCubes:
    @pytest.mark.parametrize(
        "atoms",
        [WATER, bulk("Si"), Atoms("Si", cell=[3, 3, 12], pbc=[True, True, False])],
    )
    def test_a_request_says_the_points_of_our_grid(self, atoms: Atoms) -> None:
        text = cube_block("total_density", atoms, CubeGrid(0.4, 2.0))
        origin = np.array(re.findall(r"cube origin (.*)", text)[0].split(), float)
        edges = [line.split() for line in re.findall(r"cube edge (.*)", text)]
        shape = [int(words[0]) for words in edges]
        steps = np.array([words[1:] for words in edges], float)
        # FHI-aims takes the origin for the centre
        first = origin - (np.array(shape) - 1) / 2 @ steps
        frame = grid_frame(atoms, 0.4, 2.0)
        np.testing.assert_allclose(first, frame.origin, atol=1e-9)
        np.testing.assert_allclose(
            first + (np.array(shape) - 1) @ steps, frame.points()[-1, -1, -1], atol=1e-9
        )

    def test_a_cube_as_fhi_aims_writes_it(self, tmp_path: Path) -> None:
        values = np.arange(24.0).reshape(2, 3, 4)
        lines = ["CUBE FILE written by FHI-AIMS", "*****************************"]
        lines += ["    1    0.094308    0.100000    0.200000"]
        lines += ["    2    0.188616    0.000000    0.000000"]
        lines += ["    3    0.000000    0.188616    0.000000"]
        lines += ["    4    0.000000    0.000000    0.188616"]
        lines += ["    8    0.000000    0.100000    0.200000    0.300000"]
        lines += ["  ".join(f"{v:.5E}" for v in row) for row in values.reshape(-1, 4)]
        path = tmp_path / "cube_001_total_density.cube"
        path.write_text("\n".join(lines) + "\n")
        (tmp_path / "cube_002_ri_density.cube").touch()
        assert find_cube(tmp_path) == path
        atoms, grid = read_grid(path)
        bohr = 0.52917721
        np.testing.assert_allclose(grid.values * bohr**3, values, rtol=1e-6)
        np.testing.assert_allclose(grid.origin, np.array([0.094308, 0.1, 0.2]) * bohr, rtol=1e-6)
        np.testing.assert_allclose(
            np.diag(grid.cell), np.array([2, 3, 4]) * 0.188616 * bohr, rtol=1e-6
        )
        assert atoms.numbers.tolist() == [8]
        with pytest.raises(FileNotFoundError, match="no cube of spin_density"):
            find_cube(tmp_path, "spin_density")


class TestBasisKeywords:
    text = (
        "xc pbe\ndefault_prodbas_acc 1e-5\n"
        "species H\n  cut_pot 4.0 1.5 1.0\nspecies C\n l_hartree 4\n"
    )

    @settings(
        max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    @given(st.integers(1, 9), st.integers(-9, -1), st.sampled_from("eEdD"))
    def test_notations_of_numbers_are_one(self, digit: int, power: int, letter: str) -> None:
        one = parse_basis_keywords(f"wave_threshold {digit}{letter}{power}\n")
        two = parse_basis_keywords(f"# x\n wave_threshold   {digit}.0{letter}{power:+03d} # y\n")
        assert one.difference(two) is None

    @pytest.mark.parametrize(
        ("old", "new", "message"),
        [
            ("xc pbe", "xc pbe0", "xc is pbe and pbe0"),
            ("xc pbe", "xc PBE", None),
            ("default_prodbas_acc 1e-5\n", "", "default_prodbas_acc is 1e-05 and left out"),
            ("4.0 1.5", "4.5 1.5", "species H is defined in two ways"),
            ("species C\n l_hartree 4\n", "", None),
            ("xc pbe", "xc pbe\nsc_accuracy_rho 1e-6", None),
        ],
    )
    def test_differences(self, old: str, new: str, message: str | None) -> None:
        other = parse_basis_keywords(self.text.replace(old, new))
        found = parse_basis_keywords(self.text).difference(other)
        assert found == message or (message is not None and found is not None and message in found)


def test_species_get_their_labels_and_masks(species: Path, tmp_path: Path) -> None:
    text = species_sections(["C", "H", "C_1", "H"], species, ["C_1"])
    assert re.findall(r"species\s+(\S+)", text) == ["C", "H", "C_1"]
    assert text.rstrip().endswith("max_n_prodbas 0")
    assert text.count("max_n_prodbas") == 1
    (tmp_path / "01_H_default").write_text("nothing")
    with pytest.raises(ValueError, match="has 0 species"):
        species_sections(["H"], tmp_path)
