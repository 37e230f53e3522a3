"""How alike two densities are."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, get_args

import numpy as np
from ase import units

from ..electrostatics.potential import total_charge
from ..electrostatics.products import Operator, inner_product
from .distances import check_coulomb
from .expansion import electron_terms

if TYPE_CHECKING:
    from ..density import Density

#: Similarity from (first|second), (first|first) and (second|second).
INDICES: dict[str, Callable[[float, float, float], float]] = {
    "carbo": lambda mixed, first, second: mixed / float(np.sqrt(first * second)),
    "hodgkin": lambda mixed, first, second: 2 * mixed / (first + second),
}


def similarity(
    first: Density, second: Density, *, index: str = "carbo", operator: str = "overlap"
) -> float:
    r"""Similarity of two densities where they are: 1 if they are equal.

    .. math:: C = \frac{(\rho_1|\rho_2)}{\sqrt{(\rho_1|\rho_1) (\rho_2|\rho_2)}}, \qquad
              H = \frac{2 (\rho_1|\rho_2)}{(\rho_1|\rho_1) + (\rho_2|\rho_2)}

    Carbo's index (R. Carbo, L. Leyda and M. Arnau, Int. J. Quantum Chem. 17, 1185 (1980)) does
    not see a scale, Hodgkin's (E. E. Hodgkin and W. G. Richards, Int. J. Quantum Chem., Quantum
    Biol. Symp. 14, 105 (1987)) does. In closed form; see
    :func:`~ase_rholearn.density.comparison.alignment.align` for the best superposition.

    Parameters
    ----------
    first, second
        Densities; their structures and bases may differ, not their periods.
    index
        ``"carbo"`` or ``"hodgkin"``.
    operator
        ``"overlap"``: (a|b) is the integral of the product, which the cores of heavy atoms
        dominate. ``"coulomb"``: the interaction, which sees valence electrons better and further
        away. Molecules only.

    Raises
    ------
    ValueError
        There is no such index or operator, or the densities have different periods.
    """
    chosen, metric = check_index(index), check_operator(operator)
    terms = [electron_terms(rho) for rho in (first, second)]
    _ = first - second  # different periods are refused
    cell, pbc = first.atoms.cell.array / units.Bohr, first.atoms.pbc
    if metric == "coulomb":
        check_coulomb(pbc, total_charge(terms[0]))
    pairs = (terms[0], terms[1]), (terms[0], terms[0]), (terms[1], terms[1])
    products = [inner_product(a, b, metric, cell, pbc) for a, b in pairs]
    return float(chosen(*products))


def check_index(index: str) -> Callable[[float, float, float], float]:
    """The formula of an index."""
    if index not in INDICES:
        raise ValueError(f'index is {index!r}: give "carbo" or "hodgkin"')
    return INDICES[index]


def check_operator(operator: str) -> Operator:
    """The operator, if there is one of this name."""
    for known in get_args(Operator):
        if operator == known:
            return known
    raise ValueError(f'operator is {operator!r}: give "overlap" or "coulomb"')
