"""Numbers as text: the same digits as Python's own formatting, and back."""

from __future__ import annotations

import io
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ase_rholearn.density.files.numbers import (
    NumberWriter,
    _fixed,
    read_numbers,
    read_rows,
    scientific,
)

FINITE = st.floats(allow_nan=False, allow_infinity=False)


def lines(values: np.ndarray, row: int, decimals: int, per_line: int = 6) -> bytes:
    """What the writer should write, by Python."""
    parts = []
    for start in range(0, len(values), row):
        for k in range(start, start + row, per_line):
            line = values[k : min(k + per_line, start + row)]
            parts.append("".join(f" {x:{decimals + 7}.{decimals}E}" for x in line) + "\n")
    return "".join(parts).encode()


def written(values: np.ndarray, row: int, decimals: int, per_line: int = 6) -> bytes:
    return b"".join(NumberWriter(row, decimals, per_line).text(values))


@settings(deadline=None, max_examples=300)
@given(values=st.lists(FINITE, min_size=1, max_size=20), decimals=st.integers(1, 12))
def test_any_finite_numbers(values: list[float], decimals: int) -> None:
    array = np.array(values)
    assert written(array, len(array), decimals) == lines(array, len(array), decimals)


@settings(deadline=None, max_examples=300)
@given(
    digits=st.integers(1, 10**7),
    exponent=st.integers(-99, 90),
    steps=st.integers(-3, 3),
    decimals=st.sampled_from([5, 6, 9, 10]),
)
def test_next_to_the_middle_of_two_texts(
    digits: int, exponent: int, steps: int, decimals: int
) -> None:
    """Half-way cases, powers of ten, and their neighbours among doubles."""
    for value in (Fraction(2 * digits + 1, 2), Fraction(digits)):
        x = float(value * Fraction(10) ** exponent)
        for _ in range(abs(steps)):
            x = float(np.nextafter(x, np.inf * steps))
        array = np.array([x, -x])
        assert written(array, 2, decimals) == lines(array, 2, decimals)


@pytest.mark.parametrize("decimals", [1, 2, 3, 4, 5, 8, 10, 12])
def test_many_numbers_of_all_sizes(decimals: int) -> None:
    rng = np.random.default_rng(decimals)
    values = rng.normal(size=40_000) * 10.0 ** rng.uniform(-90, 90, 40_000)
    values[::7] = 0.0
    values[1::7] = np.round(values[1::7], 3)
    assert scientific(values, decimals) is not None  # the fast way
    assert written(values, 40, decimals) == lines(values, 40, decimals)


def test_every_binary_exponent() -> None:
    values = np.ldexp(np.array([0.5, 0.75, np.nextafter(1.0, 0)])[:, None], np.arange(-1073, 1024))
    values = np.concatenate([values.ravel(), -values.ravel(), [0.0, -0.0, 5e-324]])
    for value in values:
        assert written(value[None], 1, 5) == f" {value:12.5E}\n".encode()


@pytest.mark.parametrize("row", [1, 5, 6, 7, 12, 20_000])
@pytest.mark.parametrize("per_line", [1, 5, 6])
def test_lines_begin_anew_with_rows(row: int, per_line: int) -> None:
    values = np.random.default_rng(0).normal(size=3 * row)
    assert written(values, row, 5, per_line) == lines(values, row, 5, per_line)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_none(bad: float) -> None:
    values = np.ones(12)
    values[7] = bad
    with pytest.raises(ValueError, match="the grid holds NaN or infinity"):
        written(values, 6, 5)
    with pytest.raises(ValueError, match="decimals is 13: give 1 to 12"):
        scientific(np.ones(1), 13)


@settings(deadline=None, max_examples=50)
@given(values=st.lists(FINITE, min_size=1, max_size=30))
def test_back(values: list[float]) -> None:
    """Any layout is read to the last bit."""
    text = "\n\t ".join(map(repr, values)).encode()
    assert read_numbers(io.BytesIO(text), len(values)).tolist() == values


@settings(deadline=None, max_examples=200)
@given(
    values=st.lists(FINITE | st.floats(-1e3, 1e3), min_size=1, max_size=30),
    row=st.sampled_from([1, 2, 6, 7, 13]),
)
def test_fixed_columns_give_the_closest_doubles(values: list[float], row: int) -> None:
    array = np.resize(values, len(values) * row)
    text = written(array, row, 5)
    expected = np.array([float(word) for word in text.split()])
    back = read_rows(io.BytesIO(text), len(array), row)
    assert back.tobytes() == expected.tobytes()  # signs of zeros too


def test_fixed_columns_of_all_sizes() -> None:
    rng = np.random.default_rng(0)
    text = written(rng.normal(size=60_000) * 10.0 ** rng.uniform(-80, 80, 60_000), 40, 5)
    assert _fixed(text, 40, 40 * 13 + 7) is not None
    back = read_rows(io.BytesIO(text), 60_000, 40)
    assert back.tolist() == [float(word) for word in text.split()]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"1.00000E+00", b"1.0000E+000"),
        (b"1.00000E+00", b"0.10000D+01"),
        (b"1.00000E+00", b"     100e-2"),
        (b" 1.00000E+00", b"+1.00000e+00"),
        (b" 1.00000E+00", b" +01.00000E0"),
        (b"  1.00000E+00", b"\t  1.0000E+00"),
        (b"  1.00000E+00\n", b"  1.00000E+00\r\n"),
        (b"  1.00000E+00", b" 1.0"),
        (b"  1.00000E+00", b"\n  1.00000E+00"),
    ],
)
def test_columns_that_are_not_fixed(old: bytes, new: bytes) -> None:
    text = written(np.array([-2.5, 3.0, 1.0, 1e-30] * 2), 4, 5)
    assert old in text or b"\n" in old
    for count in (1, 2):
        changed = text.replace(old, new, count)
        assert read_rows(io.BytesIO(changed), 8, 4).tolist() == [-2.5, 3.0, 1.0, 1e-30] * 2


def test_every_damage_of_one_byte() -> None:
    """Whatever a byte is changed to, the numbers are Python's or there is an error."""
    text = written(np.array([-2.5, 3.0, 1.0, 1e-30]), 4, 5)
    for place, byte in np.ndindex(len(text), 256):
        damaged = text[:place] + bytes([byte]) + text[place + 1 :]
        try:
            expected = [float(x) for x in damaged.upper().replace(b"D", b"E").split()[:4]]
        except ValueError:
            expected = []
        try:
            found = read_rows(io.BytesIO(damaged), 4, 4).tolist()
        except ValueError:
            found = []
        assert found == (expected if len(expected) == 4 else []), damaged


def test_blocks_end_inside_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).normal(size=500)
    text = written(values, 5, 8) + b"anything else"
    for block in (1, 7, 64, 1000):
        monkeypatch.setattr("ase_rholearn.density.files.numbers._BLOCK", block)
        back = read_numbers(io.BytesIO(text), 500)
        np.testing.assert_allclose(back, values, rtol=1e-8)


def test_fortran_exponents() -> None:
    text = io.BytesIO(b" 1.5-101 2.5D+03 -.1E+3 1d0 3.0+100 7")
    assert read_numbers(text, 6).tolist() == [1.5e-101, 2500.0, -100.0, 1.0, 3e100, 7.0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"1 2 3", "3 values were found where 4 should be"),
        (b" \n", "0 values were found where 4 should be"),
        (b"1 2 ***** 3", "there are asterisks"),
        (b"1 2 x 3", "could not convert"),
        (b"1 2 3-4 5", "could not convert"),
    ],
)
def test_what_is_no_list_of_numbers(text: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_numbers(io.BytesIO(text), 4)
