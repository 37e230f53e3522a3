"""The table of the product basis in ``aims.out``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

#: Nothing else may be in the line: "Product basis setup" and others are not tables.
_TITLE = re.compile(r"^\s*Product basis:\s*$")
_ROW = re.compile(
    r"^\s*\|\s+(\S+)\s+(\d+)\s+(\S+)\s+A\s+(\S+)\s+A(?:\s*(\S+)\s+a\.u\.)?\s*$", re.ASCII
)
_HEADING = re.compile(r"^\s*\|\s*(charge radius:|field radius:|Species\s)")


@dataclass(frozen=True)
class ProductFunction:
    """A radial function of the product basis.

    Attributes
    ----------
    l
        Angular momentum.
    charge_radius
        Its extent, in Angstrom; NaN where the number was too large for its column.
    field_radius
        Extent of its Coulomb potential, in Angstrom; likewise.
    multipole
        Its multipole moment as FHI-aims prints it, whose normalisation no public text says;
        NaN likewise, None for functionals that do not print it.
    """

    l: int
    charge_radius: float
    field_radius: float
    multipole: float | None


def read_product_table(lines: Iterable[str]) -> dict[str, tuple[ProductFunction, ...]]:
    """Radial functions of each species, in the order of the last table of an output.

    FHI-aims prints the table up to three times. Functions of a species are not always in the
    order of l.

    >>> table = read_product_table([
    ...     "  Product basis:",
    ...     "  | Species   l  charge radius    field radius  multipol momen",
    ...     "  |    He     0     4.434721 A      4.489268 A  ************ a.u.",
    ... ])
    >>> table["He"][0].charge_radius, table["He"][0].multipole
    (4.434721, nan)
    """
    table = ProductTable()
    for line in lines:
        table.look(line)
    return table.functions


class ProductTable:
    """Collects the table from lines of an output, one after another."""

    def __init__(self) -> None:
        self._rows: dict[str, list[ProductFunction]] = {}
        self._open = False

    def look(self, line: str) -> None:
        """Take in the next line."""
        if _TITLE.match(line):
            self._rows, self._open = {}, True
        elif self._open and (match := _ROW.match(line)):
            label, l, charge, field, multipole = match.groups()
            self._rows.setdefault(label, []).append(
                ProductFunction(
                    int(l),
                    number(charge),
                    number(field),
                    None if multipole is None else number(multipole),
                )
            )
        elif self._open and not _HEADING.match(line):
            self._open = False

    @property
    def functions(self) -> dict[str, tuple[ProductFunction, ...]]:
        """What has been found."""
        return {label: tuple(rows) for label, rows in self._rows.items()}


def radial_counts(functions: Iterable[ProductFunction]) -> tuple[int, ...]:
    """How many radial functions there are of l = 0, 1, ..., lmax.

    >>> radial_counts([ProductFunction(1, 2.0, 2.0, None), ProductFunction(0, 2.0, 2.0, None)])
    (1, 1)
    """
    momenta = [function.l for function in functions]
    return tuple(momenta.count(l) for l in range(max(momenta, default=-1) + 1))


def number(text: str) -> float:
    """A number of Fortran; NaN where it was too large for its column."""
    if "*" in text:
        return float("nan")
    return float(re.sub(r"(\d)([+-]\d{3})$", r"\1E\2", text.replace("D", "E")))
