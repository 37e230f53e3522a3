"""Numbers with all their digits, one a line, from text: many at once.

The digits are one integer of 64 bits, which is scaled by a power of ten in the processor's
extended precision, whose mantissa has 64 bits too. Rounding the result to a double gives the
closest one, except where it lies so near the middle of two doubles that errors of the scaling
could decide; Python reads those.
"""

from __future__ import annotations

import sys

import numpy as np

from .numbers import are_digits, four_digits

#: Whether extended precision is what this module needs: that of x86.
AVAILABLE = bool(np.finfo(np.longdouble).nmant == 63) and sys.byteorder == "little"

#: Powers of ten with an exact mantissa of 64 bits.
_POWERS = np.array([np.longdouble(10) ** n for n in range(28)])

#: The last bits of a mantissa that a double does not have, and the middle of them.
_BITS, _MIDDLE = 0x7FF, 0x400

#: Errors of two operations, in units of the last bit.
_DOUBT = 2

#: Most decimals whose digits fit into 64 bits.
_DECIMALS = 18

#: Most characters in front of a number.
_LEAD = 12


def parse_lines(text: bytes) -> np.ndarray | None:
    r"""Numbers of lines such as ``-1.234567890123456789E+00``: shape (n,).

    Parameters
    ----------
    text
        Whole lines. All have as many digits, one before the point, and an exponent of two
        digits; blanks may be in front.

    Returns
    -------
    numpy.ndarray or None
        The doubles closest to the text; None if the text is of another form.

    Examples
    --------
    >>> parse_lines(b"1.50e+00\n -2.25e-01\n").tolist()
    [1.5, -0.225]
    """
    decimals = _decimals(text)
    if decimals is None or not AVAILABLE or not text.endswith(b"\n"):
        return None
    characters = np.frombuffer(text, np.uint8)
    ends = np.flatnonzero(characters == ord("\n"))
    width = decimals + 6  # digit, point, decimals, E+00
    starts = ends - width
    if not _alone(characters, starts, ends):
        return None
    fields = np.lib.stride_tricks.sliding_window_view(characters, width)[starts]  # [n, width]
    mantissas = _mantissas(fields, decimals)
    exponents = _exponents(fields[:, -4:])
    if mantissas is None or exponents is None:
        return None
    values, doubtful = _scaled(mantissas, exponents - decimals)
    np.negative(values, out=values, where=characters[np.maximum(starts - 1, 0)] == ord("-"))
    for row in np.flatnonzero(doubtful):
        begin = max(starts[row] - 1, 0)
        number = text[begin : ends[row]].upper().replace(b"D", b"E")
        values[row] = float(number)
    return values


def _decimals(text: bytes) -> int | None:
    """Digits after the point in the first line; None if it is not a number of that form."""
    first = text[: text.find(b"\n")].strip().lstrip(b"+-").upper().replace(b"D", b"E")
    head, _, exponent = first.partition(b"E")
    decimals = len(head) - 2
    wanted = 1 <= decimals <= _DECIMALS and head[1:2] == b"." and len(exponent) == 3
    return decimals if wanted else None


def _alone(characters: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> bool:
    """Whether nothing but a sign and blanks are in front of the number of each line."""
    lines = np.concatenate([[0], ends[:-1] + 1])
    lead = starts - lines
    if lead.min() < 0 or lead.max() > _LEAD:
        return False
    for k in range(1, int(lead.max()) + 1):
        before = characters[starts - k]
        right = before == ord(" ")
        if k == 1:
            right |= (before == ord("-")) | (before == ord("+"))
        if not (right | (lead < k)).all():
            return False
    return True


def _mantissas(fields: np.ndarray, decimals: int) -> np.ndarray | None:
    """Digits of each number as an integer: uint64 (n,)."""
    if (fields[:, 1] != ord(".")).any():
        return None
    digits = np.full((len(fields), 20), ord("0"), np.uint8)
    digits[:, 19 - decimals] = fields[:, 0]
    digits[:, 20 - decimals :] = fields[:, 2 : 2 + decimals]
    words = digits.view("<u4")  # [n, 5]
    if not all(are_digits(words[:, k]) for k in range(5)):
        return None
    mantissas = np.zeros(len(fields), np.uint64)
    for k in range(5):
        mantissas = mantissas * np.uint64(10000) + four_digits(words[:, k])
    return mantissas


def _exponents(fields: np.ndarray) -> np.ndarray | None:
    """Exponents from four characters such as ``E-05``: (n,)."""
    letters, signs = fields[:, 0] | 0x20, fields[:, 1]
    negative = signs == ord("-")
    tens, units = fields[:, 2] - ord("0"), fields[:, 3] - ord("0")
    right = ((letters == ord("e")) | (letters == ord("d"))) & (negative | (signs == ord("+")))
    if not (right & (tens < 10) & (units < 10)).all():
        return None
    exponents = tens.astype(np.intp) * 10 + units
    return np.where(negative, -exponents, exponents)


def _scaled(mantissas: np.ndarray, powers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Integers times powers of ten, as doubles, and where these may not be the closest ones."""
    most = len(_POWERS) - 1
    size = np.abs(powers)
    values = mantissas.astype(np.longdouble)
    _scale(values, np.minimum(size, most), powers < 0)
    twice = np.flatnonzero(size > most)
    if len(twice):
        part = values[twice]
        _scale(part, np.minimum(size[twice] - most, most), powers[twice] < 0)
        values[twice] = part
    last = (values.view(np.uint64)[::2] & np.uint64(_BITS)).astype(np.int16)
    doubtful = np.abs(last - _MIDDLE) <= _DOUBT
    return values.astype(float), doubtful | (size > 2 * most)


def _scale(values: np.ndarray, size: np.ndarray, down: np.ndarray) -> None:
    """Divide values by powers of ten, or multiply them, in place."""
    factors = _POWERS.take(size)
    if down.all():  # as good as always: there are more decimals than powers
        values /= factors
    else:
        values[:] = np.where(down, values / factors, values * factors)
