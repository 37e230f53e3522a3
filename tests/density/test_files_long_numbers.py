"""Numbers with all digits, one a line."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ase_rholearn.density.files.long_numbers import AVAILABLE, parse_lines

pytestmark = pytest.mark.skipif(not AVAILABLE, reason="this processor lacks extended precision")

FORMATS = ["{:.18e}", "{:.17E}", "{:25.15e}", "{:+.3e}", "{:.1e}"]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.floats(-1e98, 1e98, allow_subnormal=False), min_size=1, max_size=30),
    st.sampled_from(FORMATS),
)
def test_they_are_the_doubles_that_python_reads(values: list[float], form: str) -> None:
    kept = [v for v in values if v == 0 or abs(v) > 1e-98]
    lines = [form.format(v) for v in kept]
    found = parse_lines("".join(line + "\n" for line in lines).encode())
    if not kept:
        assert found is None
        return
    assert found is not None
    np.testing.assert_array_equal(found, [float(line) for line in lines])


def test_many_random_ones() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=50_000) * 10.0 ** rng.integers(-40, 25, size=50_000)
    found = parse_lines(("%.18e\n" * len(values) % tuple(values.tolist())).encode())
    np.testing.assert_array_equal(found, values)


def test_the_middle_of_two_doubles_goes_to_the_even_one() -> None:
    # 2^53 + 1 and 2^53 + 3 are no doubles
    text = "9.007199254740993000e+15\n9.007199254740995000e+15\n9.007199254740992999e+15\n"
    found = parse_lines(text.encode())
    assert found is not None
    assert found.tolist() == [float(line) for line in text.split()]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1.5e+00",
        "1.5e+00\n2.25e+00\n",
        "1.5e+00\n15.e+00\n",
        "1.5e+00 2.5e+00\n",
        "1.5e+00\n1.5e+00 2.5e+00\n",
        "1.5e+00\n\n",
        "1.5e+00\nx2.5e+00\n",
        "1.5e+00\n*******\n",
        "1.5e+100\n",
        "1.5e+00\n1.x E+00\n",
        "nan\n",
        "1.5e+00\n- 2.5e+00\n",
    ],
)
def test_other_text_is_left_to_others(text: str) -> None:
    assert parse_lines(text.encode()) is None


def test_exponents_of_fortran_and_blanks() -> None:
    found = parse_lines(b"  -1.50D+00\n2.50d-02\n    +3.50E+01\n")
    assert found is not None
    assert found.tolist() == [-1.5, 0.025, 35.0]
