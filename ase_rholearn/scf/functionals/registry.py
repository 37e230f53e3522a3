"""Functionals by the names that PySCF has for them."""

from __future__ import annotations

from .forms import Functional, Sum
from .kinetic import THOMAS_FERMI, VON_WEIZSAECKER
from .pbe_correlation import PBE_CORRELATION, PBESOL_CORRELATION
from .pbe_exchange import PBE_EXCHANGE, PBESOL_EXCHANGE, REVPBE_EXCHANGE, RPBE_EXCHANGE
from .pw92 import PW, PW_MOD
from .slater import SLATER

#: All functionals that there are, by PySCF's names.
FUNCTIONALS: dict[str, Functional] = {
    one.name: one
    for one in (
        SLATER,
        PW,
        PW_MOD,
        Sum("LDA,PW", (SLATER, PW)),
        Sum("LDA,PW_MOD", (SLATER, PW_MOD)),
        PBE_EXCHANGE,
        PBE_CORRELATION,
        Sum("PBE", (PBE_EXCHANGE, PBE_CORRELATION)),
        Sum("PBESOL", (PBESOL_EXCHANGE, PBESOL_CORRELATION)),
        Sum("REVPBE", (REVPBE_EXCHANGE, PBE_CORRELATION)),
        Sum("RPBE", (RPBE_EXCHANGE, PBE_CORRELATION)),
        THOMAS_FERMI,
        VON_WEIZSAECKER,
    )
}


def functional(name: str) -> Functional:
    """The functional of this name: "PBE", "LDA,PW", "LDA_K_TF" ...; case does not matter.

    Raises
    ------
    ValueError
        There is none; the message names all.

    Examples
    --------
    >>> functional("pbe").needs_gradient
    True
    """
    found = FUNCTIONALS.get(name.replace(" ", "").upper())
    if found is None:
        raise ValueError(f"name is {name!r}: give one of {'; '.join(FUNCTIONALS)}")
    return found
