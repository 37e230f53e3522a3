"""Numbers of grids to text and back, many at once.

Numbers are written as Python's ``"%13.5E"`` writes them, last digit included, but by integer
arithmetic on arrays: the digits of a value are those of the integer next to value * 10^k.
Where the product is so close to the middle of two integers that its own rounding could
decide, Python formats the value.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator
from functools import lru_cache
from math import floor, log10
from typing import IO

import numpy as np

#: Values that are formatted at once: their temporaries fit into a cache.
_CHUNK = 2**14

#: Bytes that are parsed at once.
_BLOCK = 2**23

#: A number of 13 columns: the words are decoded as integers.
_FIELD = np.dtype([("blank", "u1"), ("lead", "<u4"), ("last", "<u4"), ("power", "<u4")])

#: Powers of ten that are doubles.
_POWERS = 10.0 ** np.arange(23)

#: Fortran leaves the E out of an exponent of three digits, or writes a D.
_LONG_EXPONENT = re.compile(rb"(\d)([+-]\d{3})(?!\d)")
_D_EXPONENT = re.compile(rb"(?<=[\d.])[Dd](?=[+-]?\d)")


class NumberWriter:
    """Text of rows of numbers: each row begins a line.

    Parameters
    ----------
    row
        Numbers in a row.
    decimals
        Digits after the decimal point; 1 to 12.
    per_line
        Numbers in a line.
    """

    def __init__(self, row: int, decimals: int, per_line: int) -> None:
        self._row = row
        self._decimals = decimals
        self._per_line = per_line
        self._width = decimals + 8  # blank, sign, digit, point, decimals, E+00
        self._rows = max(1, _CHUNK // row)
        full, rest = divmod(row, per_line)
        line = per_line * self._width + 1
        self._text = np.full(
            (self._rows, full * line + (rest * self._width + 1) * (rest > 0)), ord("\n"), np.uint8
        )
        # where the numbers go: everything but the ends of lines
        self._lines = self._text[:, : full * line].reshape(self._rows, full, line)[:, :, :-1]
        self._rest = self._text[:, full * line : -1] if rest else self._text[:, :0]

    def text(self, values: np.ndarray, factor: float = 1.0) -> Iterator[bytes]:
        """Lines of values of shape (n * row,) times a factor, in pieces.

        Raises
        ------
        ValueError
            A value is NaN or infinite.
        """
        step = self._rows * self._row
        for start in range(0, len(values), step):
            part = values[start : start + step] * factor
            fields = scientific(part, self._decimals)
            if fields is None:
                yield self._slow(part)
                continue
            rows = len(part) // self._row
            flat = fields.view(np.uint8).reshape(rows, -1)
            _, full, line = self._lines.shape
            self._lines[:rows] = flat[:, : full * line].reshape(rows, full, line)
            self._rest[:rows] = flat[:, full * line :]
            yield self._text[:rows].tobytes()

    def _slow(self, values: np.ndarray) -> bytes:
        """The same where numbers are too long for their columns, which Python handles."""
        if not np.isfinite(values).all():
            raise ValueError("the grid holds NaN or infinity: only finite values can be written")
        one, row = f" %{self._width - 1}.{self._decimals}E", self._row
        counts = [min(self._per_line, row - k) for k in range(0, row, self._per_line)]
        lines = "".join(one * count + "\n" for count in counts)
        return (lines * (len(values) // row) % tuple(values.tolist())).encode("ascii")


def continuous(
    pieces: Iterable[np.ndarray], decimals: int, per_line: int, factor: float = 1.0
) -> Iterator[bytes]:
    """Text of pieces of numbers in full lines; only the last line may be shorter.

    All pieces but the last have a length that is a multiple of ``per_line``.
    """
    writer = NumberWriter(per_line, decimals, per_line)
    for piece in pieces:
        full = len(piece) // per_line * per_line
        yield from writer.text(piece[:full], factor)
        if rest := len(piece) - full:
            yield from NumberWriter(rest, decimals, per_line).text(piece[full:], factor)


def scientific(values: np.ndarray, decimals: int) -> np.ndarray | None:
    """Numbers as text of equal width, or None if an exponent has three digits.

    Parameters
    ----------
    values
        Shape (n,), float64.
    decimals
        Digits after the decimal point; 1 to 12.

    Returns
    -------
    numpy.ndarray or None
        Bytes of shape (n,), ``decimals + 8`` each. None also if a value is not finite.
    """
    tables = _tables(decimals)
    # sign and binary exponent give the power of ten, up to a factor of ten
    top = (values.view(np.uint64) >> np.uint64(52)).astype(np.intp)
    scaled = values * tables.scale.take(top)
    over = scaled >= tables.end
    exponents = tables.exponent.take(top)
    exponents += over
    if exponents.min() < -99 or exponents.max() > 99:
        return None
    np.multiply(scaled, 0.1, out=scaled, where=over)
    digits = np.rint(scaled)
    doubtful = np.abs(scaled - digits) > tables.sure
    doubtful |= (scaled < tables.end_before) & (scaled > 0)  # zero is not
    fields = np.empty(len(values), tables.fields)
    fields["blank"] = b" "
    rest = digits.astype(np.intp)
    for name in tables.groups:
        first = rest // 10000
        fields[name] = tables.four.take(rest - 10000 * first)
        rest = first
    rest[top >= 2048] += tables.negative
    fields["first"] = tables.first.take(rest)
    fields["exponent"] = tables.exponent_text.take(exponents + 99)
    for k in np.flatnonzero(doubtful):
        text = f"{values[k]:{decimals + 8}.{decimals}E}"
        if len(text) > decimals + 8 or text[0] != " ":
            return None
        fields[k] = np.frombuffer(text.encode("ascii"), tables.fields)[0]
    return fields


class _Tables:
    """What :func:`scientific` looks up."""

    def __init__(self, decimals: int) -> None:
        if not 1 <= decimals <= 12:
            raise ValueError(f"decimals is {decimals}: give 1 to 12")
        powers = np.array([floor(e * log10(2)) for e in range(-1023, 1025)])
        # of each sign and binary exponent; what is below 1e-307 is not scaled, but long anyway
        scale = np.array([float(f"1e{decimals - max(p, -290)}") for p in powers])
        scale[0] = 1e300  # zero, and numbers so small that Python writes them
        self.scale = np.concatenate([scale, -scale])
        self.exponent = np.tile(powers, 2).astype(np.int16)
        self.exponent[[0, 2048]] = 0
        self.end = 10.0 ** (decimals + 1) - 0.5
        self.end_before = 10.0**decimals
        # errors of the product are below two units in the last of 52 bits
        self.sure = 0.5 - 10.0 ** (decimals + 1) * 2.0**-50
        self.four = _words([f"{i:04d}" for i in range(10000)])
        self.exponent_text = _words([f"E{i:+03d}" for i in range(-99, 100)])
        groups, lead = divmod(decimals, 4)
        self.negative = 10 ** (lead + 1)
        digits = [f"{i:0{lead + 1}d}" for i in range(self.negative)]
        self.first = _words([f"{s}{d[0]}.{d[1:]}" for s in " -" for d in digits])
        self.groups = [f"group{k}" for k in reversed(range(groups))]
        self.fields = np.dtype(
            [
                ("blank", "S1"),
                ("first", self.first.dtype),
                *((f"group{k}", self.four.dtype) for k in range(groups)),
                ("exponent", self.exponent_text.dtype),
            ]
        )


@lru_cache
def _tables(decimals: int) -> _Tables:
    return _Tables(decimals)


def _words(texts: list[str]) -> np.ndarray:
    """Texts of equal length; those of four bytes as integers, which are copied fastest."""
    array = np.array([text.encode("ascii") for text in texts])
    return array.view(np.uint32) if array.dtype.itemsize == 4 else array


def read_rows(stream: IO[bytes], count: int, row: int) -> np.ndarray:
    """The next ``count`` numbers, fast where they are in Fortran's layout 6E13.5.

    Parameters
    ----------
    stream
        At the beginning of a line.
    count
        A multiple of ``row``.
    row
        Numbers after which a new line begins, in that layout. Any other is read too.

    Returns
    -------
    numpy.ndarray
        Shape (count,), the doubles closest to the text.
    """
    values = np.empty(count)
    rows, length = max(1, _CHUNK // row), row * 13 + -(-row // 6)
    for start in range(0, count, rows * row):
        part = values[start : start + rows * row]
        text = stream.read(len(part) // row * length)
        found = _fixed(text, row, length) if len(text) * row == len(part) * length else None
        if found is None:
            values[start:] = read_numbers(stream, count - start, text)
            break
        part[:] = found
    return values


def _fixed(text: bytes, row: int, length: int) -> np.ndarray | None:
    """Numbers of whole rows in the layout 6E13.5: shape (n,); None if it is another one."""
    lines = np.frombuffer(text, np.uint8).reshape(-1, length)
    full, rest = divmod(row, 6)
    whole = lines[:, : full * 79].reshape(len(lines), full, 79)
    if (whole[:, :, 78] != ord("\n")).any() or (lines[:, -1] != ord("\n")).any():
        return None
    columns = np.empty((len(lines), row * 13), np.uint8)
    columns[:, : full * 78].reshape(len(lines), full, 78)[:] = whole[:, :, :78]
    if rest:
        columns[:, full * 78 :] = lines[:, full * 79 : -1]
    fields = columns.reshape(-1).view(_FIELD)
    lead, last, power = fields["lead"].copy(), fields["last"].copy(), fields["power"].copy()
    # sign, digit, point, digit | four digits | E, sign, two digits
    sign, power_sign = lead & 0xFF, power >> 8 & 0xFF
    minus, power_minus = sign == ord("-"), power_sign == ord("-")
    right = (fields["blank"] == ord(" ")) & (minus | (sign == ord(" ")))
    right &= (lead >> 16 & 0xFF == ord(".")) & (power & 0xFF == ord("E"))
    right &= power_minus | (power_sign == ord("+"))
    # blanks become zeros that are digits
    digits = lead & 0xFF00FF00 | 0x00300030
    exponents = power & 0xFFFF0000 | 0x00003030
    if not (right.all() and all(are_digits(word) for word in (digits, last, exponents))):
        return None
    integers = four_digits(digits) % 10 + four_digits(digits) // 100 * 10
    integers = (integers * 10000 + four_digits(last)).astype(float)
    np.negative(integers, out=integers, where=minus)
    exponent = four_digits(exponents).astype(np.intp)
    np.negative(exponent, out=exponent, where=power_minus)
    exponent -= 5
    # products and quotients of exact numbers are the closest double
    values = np.where(
        exponent < 0,
        integers / _POWERS.take(-exponent, mode="clip"),
        integers * _POWERS.take(exponent, mode="clip"),
    )
    far = np.abs(exponent) >= len(_POWERS)
    if far.any():
        values[far] = _from_text(fields[far].tobytes())
    return values


def are_digits(words: np.ndarray) -> bool:
    """Whether all four bytes of all words are 0 to 9."""
    # those below 0 borrow, those above 9 carry
    below, above = words - 0x30303030, words + 0x46464646
    return not ((below | above) & 0x80808080).any()


def four_digits(words: np.ndarray) -> np.ndarray:
    """Integers whose digits are the bytes of words, the first byte first."""
    digits = words & 0x0F0F0F0F
    pairs = digits * 10 + (digits >> 8)
    return (pairs & 0xFF) * 100 + (pairs >> 16 & 0xFF)


def read_numbers(stream: IO[bytes], count: int, head: bytes = b"") -> np.ndarray:
    """The next ``count`` numbers of a stream of text: shape (count,).

    Numbers are separated by blanks and ends of lines; what follows the last one in its
    line, and up to some megabytes more, is consumed too. ``head`` is text of the stream that
    was read before.

    Raises
    ------
    ValueError
        There are fewer numbers, or something else.
    """
    values = np.empty(count)
    done, tail = 0, head
    while done < count:
        block = stream.read(_BLOCK)
        text = tail + block
        if block:  # the last number may go on in the next block
            end = max(text.rfind(b" "), text.rfind(b"\n"), text.rfind(b"\t")) + 1
            text, tail = text[:end], text[end:]
        part = parse_numbers(text, count - done)
        values[done : done + len(part)] = part
        done += len(part)
        if not block and done < count:
            raise ValueError(f"{done} values were found where {count} should be")
    return values


def parse_numbers(text: bytes, most: int | None = None) -> np.ndarray:
    """All numbers of a text, or at most so many: shape (n,).

    They are separated by blanks and ends of lines; Fortran's exponents are understood.

    Raises
    ------
    ValueError
        There is something else, such as the asterisks of a number too large for its column.
    """
    if not text.strip():
        return np.empty(0)
    try:
        return _from_text(text)[:most]
    except ValueError:
        text = _LONG_EXPONENT.sub(rb"\1E\2", _D_EXPONENT.sub(b"E", text))
    words = text.split()[:most]  # behind those that count may be something else
    if any(b"*" in word for word in words):
        raise ValueError("there are asterisks where a value should be")
    return np.array(words, dtype=float)


def _from_text(text: bytes) -> np.ndarray:
    """All numbers of a text; a ValueError if there is anything else."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # NumPy used to warn only
        try:
            return np.fromstring(text, sep=" ")
        except DeprecationWarning as error:
            raise ValueError(str(error)) from error
