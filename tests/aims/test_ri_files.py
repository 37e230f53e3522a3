"""Coefficients, projections and overlap: round trips, both conventions, and bad files."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from ase.build import molecule
from fits import basis_of, made_up_fit, native_order, write_fit
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ase_rholearn.aims import BasisInfo, RIFit, read_basis_info, read_ri_fit, write_restart
from ase_rholearn.aims.basis_info import write_basis_info
from ase_rholearn.aims.number_files import read_vector, write_vector
from ase_rholearn.aims.overlap import read_overlap, store_overlap

WATER = molecule("H2O")
FIT = made_up_fit(basis_of(WATER))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return write_fit(tmp_path / "run", FIT)


def same(found: RIFit, expected: RIFit) -> None:
    """Bit for bit."""
    for name in ("coefficients", "projections", "overlap"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


@pytest.mark.parametrize("triangle", [True, False])
@pytest.mark.parametrize("legacy", [True, False])
def test_a_fit_reads_back_bit_for_bit(tmp_path: Path, triangle: bool, legacy: bool) -> None:
    fit = made_up_fit(FIT.basis, version=221103 if legacy else 240925)
    order = native_order(FIT.basis) if legacy else None
    found = read_ri_fit(write_fit(tmp_path / "run", fit, order, triangle=triangle))
    same(found, fit)
    assert (found.version, found.channel, found.spin_polarized) == (fit.version, "total", False)
    assert found.residual() < 1e-10


counts = st.lists(
    st.lists(st.integers(0, 3), min_size=1, max_size=4).map(tuple), min_size=1, max_size=4
)


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(counts=counts, seed=st.integers(0, 1000))
def test_any_basis_round_trips_in_both_conventions(
    tmp_path: Path, counts: list[tuple[int, ...]], seed: int
) -> None:
    info = BasisInfo(tuple(counts))
    path = tmp_path / "basis_info.out"
    write_basis_info(path, info)
    assert read_basis_info(tmp_path) == read_basis_info(path) == info
    values = np.random.default_rng(seed).normal(size=info.size)
    order = native_order(info, seed)
    np.testing.assert_array_equal(order.to_standard(order.to_native(values)), values)
    order.check(info.layout, tmp_path)


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=50))
def test_numbers_round_trip_and_equal_numpys(tmp_path: Path, values: list[float]) -> None:
    path = tmp_path / "numbers.out"
    write_vector(path, np.array(values))
    found = read_vector(path, len(values))
    np.testing.assert_array_equal(found, np.array(values))
    if values:
        np.testing.assert_array_equal(found, np.loadtxt(path, ndmin=1))


def test_fortran_exponents(tmp_path: Path) -> None:
    path = tmp_path / "numbers.out"
    path.write_text("  1.5D+00\n -2.5-101\n 0.25E+01\n")
    assert read_vector(path, 3).tolist() == [1.5, -2.5e-101, 2.5]


@pytest.mark.parametrize("name", ["ri_restart_coeffs.out", "ri_projections.out", "ri_ovlp.out"])
@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("****************", "too large for its column"),
        ("NaN", "not finite"),
        ("-Infinity", "not finite"),
        ("1.0 2.0", "not one number"),
        ("", "not one number"),
        ("abc", "not one number"),
    ],
)
def test_a_bad_line_is_named(directory: Path, name: str, word: str, message: str) -> None:
    path = directory / name
    lines = path.read_text().splitlines()
    lines[6] = word
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(ValueError, match=rf"{name}, line 7: .*{message}"):
        read_ri_fit(directory)


@pytest.mark.parametrize("name", ["ri_restart_coeffs.out", "ri_projections.out", "ri_ovlp.out"])
def test_truncated_and_padded_files(directory: Path, name: str) -> None:
    path = directory / name
    text = path.read_text()
    number = text.count("\n")
    path.write_text(text[:-3])
    with pytest.raises(ValueError, match=rf"{name} is truncated: line {number}, its last"):
        read_ri_fit(directory)
    path.write_text("".join(text.splitlines(keepends=True)[:-1]))
    with pytest.raises(ValueError, match=rf"{name}.*truncated.*{number - 1} lines|after line"):
        read_ri_fit(directory)
    path.write_text(text + "0.0\n")
    with pytest.raises(ValueError, match=rf"{name}, line {number + 1}: "):
        read_ri_fit(directory)


def test_files_of_different_runs_are_found(directory: Path) -> None:
    other = made_up_fit(FIT.basis, seed=1)
    write_vector(directory / "ri_restart_coeffs.out", other.coefficients)
    with pytest.raises(ValueError, match="S c = w does not hold"):
        read_ri_fit(directory)
    found = read_ri_fit(directory, check=False)
    assert found.residual() > 1


@pytest.mark.parametrize("legacy", [False, True])
def test_an_unsymmetric_matrix_is_found(tmp_path: Path, legacy: bool) -> None:
    fit = made_up_fit(FIT.basis, version=221103 if legacy else 240925)
    order = native_order(FIT.basis) if legacy else None
    directory = write_fit(tmp_path / "run", fit, order, triangle=False)
    path = directory / "ri_ovlp.out"
    lines = path.read_text().splitlines()
    lines[1] = "77.0"
    path.write_text("\n".join(lines) + "\n")
    # of two numbers that differ, either may be wrong
    pair = f"(2|{FIT.basis.size + 1})"
    with pytest.raises(ValueError, match=rf"ri_ovlp.out, line {pair}: the matrix is not symm"):
        read_ri_fit(directory)


class TestVersions:
    def test_unknown_versions_are_refused(self, tmp_path: Path) -> None:
        directory = write_fit(tmp_path / "run", FIT, said=False)
        with pytest.raises(ValueError, match=r"version of FHI-aims.*give `version`"):
            read_ri_fit(directory)
        (directory / "aims.out").write_text("nothing\n")
        with pytest.raises(ValueError, match="does not name the version"):
            read_ri_fit(directory)
        same(read_ri_fit(directory, "240925"), FIT)
        with pytest.raises(ValueError, match="'latest' is not a version"):
            read_ri_fit(directory, "latest")

    def test_mixed_versions_are_refused(self, directory: Path) -> None:
        with pytest.raises(ValueError, match=r"version is 221103, but .*240925"):
            read_ri_fit(directory, 221103)
        (directory / "idx_prodbas.out").write_text("1\n")
        with pytest.raises(ValueError, match="mixes files of two versions"):
            read_ri_fit(directory)

    def test_outputs_of_two_runs_in_one_file(self, directory: Path) -> None:
        text = (directory / "aims.out").read_text()
        (directory / "aims.out").write_text(text + text.replace("240925", "221103"))
        with pytest.raises(ValueError, match="line 6: version 221103, but line 3 says 240925"):
            read_ri_fit(directory)

    def test_an_early_version_needs_its_index_files(self, tmp_path: Path) -> None:
        early = made_up_fit(FIT.basis, version=210716)
        with pytest.raises(ValueError, match=r"idx_prodbas.out.*is not there"):
            read_ri_fit(write_fit(tmp_path / "run", early))

    def test_wrong_index_files_are_found(self, tmp_path: Path) -> None:
        early = made_up_fit(FIT.basis, version=210716)
        directory = write_fit(tmp_path / "run", early, native_order(FIT.basis))
        flips = directory / "prodbas_condon_shotley_list.out"
        text = flips.read_text()
        flips.write_text("1\n")
        with pytest.raises(ValueError, match="odd m > 0"):
            read_ri_fit(directory)
        flips.write_text(text)
        (directory / "idx_prodbas.out").write_text("1\n1\n")
        with pytest.raises(ValueError, match=r"idx_prodbas.out: index is not a permutation"):
            read_ri_fit(directory)


class TestBinaryOverlap:
    @pytest.mark.parametrize("legacy", [True, False])
    def test_it_replaces_the_text(self, tmp_path: Path, legacy: bool) -> None:
        order = native_order(FIT.basis) if legacy else None
        fit = made_up_fit(FIT.basis, version=221103 if legacy else 240925)
        directory = write_fit(tmp_path / "run", fit, order)
        store_overlap(directory, fit.basis.size, order, remove_text=True)
        assert not (directory / "ri_ovlp.out").exists()
        same(read_ri_fit(directory), fit)
        with pytest.raises(ValueError, match=r"ri_ovlp.npy holds .* remove it"):
            read_overlap(directory, 3)

    @pytest.mark.parametrize("triangle", [True, False])
    @pytest.mark.parametrize("legacy", [True, False])
    def test_it_takes_little_memory(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, triangle: bool, legacy: bool
    ) -> None:
        monkeypatch.setattr("ase_rholearn.aims.number_files._BLOCK", 2**14)
        monkeypatch.setattr("ase_rholearn.aims.overlap._NUMBERS", 2**12)
        basis = BasisInfo(((4, 3, 2),) * 20)
        root = np.random.default_rng(0).normal(size=(basis.size, 20))
        matrix = root @ root.T
        zeros = np.zeros(basis.size)
        order = native_order(basis) if legacy else None
        write_fit(tmp_path, RIFit(basis, zeros, zeros, matrix), order, triangle=triangle)
        tracemalloc.start()
        store_overlap(tmp_path, len(matrix), order)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < matrix.nbytes / 4
        np.testing.assert_array_equal(read_overlap(tmp_path, len(matrix)), matrix)

    def test_it_is_not_taken_when_the_text_is_newer(self, directory: Path) -> None:
        size = FIT.basis.size
        binary = store_overlap(directory, size)
        np.save(binary, np.zeros((size, size)))
        text = directory / "ri_ovlp.out"
        os.utime(text, (binary.stat().st_mtime + 5,) * 2)
        np.testing.assert_array_equal(read_overlap(directory, size), FIT.overlap)


class TestSpin:
    def test_channels(self, directory: Path) -> None:
        assert FIT.overlap is not None
        beta = np.random.default_rng(5).normal(size=FIT.basis.size)
        write_vector(directory / "ri_restart_coeffs_beta.out", beta)
        write_vector(directory / "ri_projections_beta.out", FIT.overlap @ beta)
        for channel, expected in (
            ("total", FIT.coefficients + beta),
            ("difference", FIT.coefficients - beta),
            ("alpha", FIT.coefficients),
            ("beta", beta),
        ):
            found = read_ri_fit(directory, channel=channel)
            np.testing.assert_array_equal(found.coefficients, expected)
            assert found.spin_polarized

    def test_no_channel_without_spin(self, directory: Path) -> None:
        with pytest.raises(ValueError, match="run without spin"):
            read_ri_fit(directory, channel="beta")


class TestWriteRestart:
    def test_it_reads_back(self, directory: Path) -> None:
        values = np.random.default_rng(2).normal(size=FIT.basis.size)
        (path,) = write_restart(directory, WATER, values, version=240925)
        np.testing.assert_array_equal(np.loadtxt(path), values)
        found = read_ri_fit(directory, check=False)
        np.testing.assert_array_equal(found.coefficients, values)

    def test_early_versions_get_their_own_order(self, tmp_path: Path) -> None:
        fit = made_up_fit(FIT.basis, version=221103)
        directory = write_fit(tmp_path / "run", fit, native_order(FIT.basis))
        before = (directory / "ri_restart_coeffs.out").read_bytes()
        write_restart(directory, WATER, fit.coefficients, version=221103)
        assert (directory / "ri_restart_coeffs.out").read_bytes() == before

    def test_both_spins(self, directory: Path) -> None:
        values = np.random.default_rng(2).normal(size=(2, FIT.basis.size))
        assert len(write_restart(directory, WATER, values, version=240925)) == 2
        found = read_ri_fit(directory, channel="beta", check=False)
        np.testing.assert_array_equal(found.coefficients, values[1])
        write_restart(directory, WATER, values[0], version=240925)
        assert not (directory / "ri_restart_coeffs_beta.out").exists()

    def test_what_does_not_fit_is_refused(self, directory: Path, tmp_path: Path) -> None:
        values = np.zeros(FIT.basis.size)
        with pytest.raises(ValueError, match="is it the basis of the model"):
            write_restart(directory, WATER, values[1:], version=240925)
        with pytest.raises(ValueError, match="3 atoms, the structure 8"):
            write_restart(directory, molecule("C2H6"), values, version=240925)
        with pytest.raises(ValueError, match="NaN or infinity"):
            write_restart(directory, WATER, values * np.nan, version=240925)
        with pytest.raises(FileNotFoundError, match="set up the run first"):
            write_restart(tmp_path / "nowhere", WATER, values, version=240925)
        with pytest.raises(ValueError, match="not a version"):
            write_restart(directory, WATER, values, version="new")


class TestBasisInfo:
    def test_layout(self) -> None:
        layout = BasisInfo(((2, 1), (1,))).layout
        assert layout.atom.tolist() == [0, 0, 0, 0, 0, 1]
        assert layout.l.tolist() == [0, 0, 1, 1, 1, 0]
        assert layout.n.tolist() == [0, 1, 0, 0, 0, 0]
        assert layout.m.tolist() == [0, 0, -1, 0, 1, 0]

    def test_by_label(self) -> None:
        info = BasisInfo(((2, 1), (1,), (3,)))
        assert info.by_label(["C", "H", "C_1"]) == {"C": (2, 1), "H": (1,), "C_1": (3,)}
        with pytest.raises(ValueError, match="atoms 0 and 2 are both C"):
            info.by_label(["C", "H", "C"])
        with pytest.raises(ValueError, match="unknown: there are counts for H"):
            BasisInfo.from_species(["C"], {"H": (1,)})

    def test_atoms_without_functions(self, tmp_path: Path) -> None:
        info = BasisInfo(((2,), ()))
        write_basis_info(tmp_path / "basis_info.out", info)
        assert read_basis_info(tmp_path) == info
        assert (info.l_max, info.offsets.tolist()) == ((0, -1), [0, 2, 2])

    @pytest.mark.parametrize(
        ("number", "line", "message"),
        [
            (4, " For L = 5 there are 1 radial functions", "line 5: L = 5 is out of its order"),
            (0, " atom 2", "line 1: atom 2 where atom 1 belongs"),
            (4, " For atom 1 max L = 7", "line 5: max L = 7 does not end"),
            (2, " something", "line 3: 'something' is not a line"),
        ],
    )
    def test_wrong_lines(self, tmp_path: Path, number: int, line: str, message: str) -> None:
        path = tmp_path / "basis_info.out"
        write_basis_info(path, FIT.basis)
        lines = path.read_text().splitlines()
        lines[number] = line
        path.write_text("\n".join(lines) + "\n")
        with pytest.raises(ValueError, match=message):
            read_basis_info(path)

    def test_truncated(self, tmp_path: Path) -> None:
        path = tmp_path / "basis_info.out"
        write_basis_info(path, FIT.basis)
        path.write_text("\n".join(path.read_text().splitlines()[:-1]) + "\n")
        with pytest.raises(ValueError, match="truncated: it ends within atom 3"):
            read_basis_info(path)
