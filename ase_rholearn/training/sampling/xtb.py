"""xTB by tblite: its ASE calculator for our structures, and relaxation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, get_args

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, CalculatorError
from ase.optimize import LBFGS

from ...extras import needs
from ...structures import check_atoms, total_charge
from .bonds import BondGraph
from .checks import check_count, check_number
from .failure import SamplingError
from .methods import Method

#: Narrowest periodic cell (Angstrom). tblite has the Gamma point alone: at 5.5 Angstrom,
#: energies of NaCl and Si are off by 0.1 to 1 eV an atom, measured against 2 x 2 x 2 cells.
_NARROWEST_CELL = 5.0

_HEAVIEST = 86


@dataclass(frozen=True)
class XTB:
    """How structures are relaxed with xTB.

    Attributes
    ----------
    method
        ``"GFN2-xTB"`` or ``"GFN1-xTB"``.
    fmax
        Largest force on an atom at the end, eV/Angstrom.
    steps
        Most steps.
    keep_bonds
        Refuse results with other bonds than the structure had. Not for ionic crystals and
        metals, where distances do not tell bonds.
    """

    method: Method = "GFN2-xTB"
    fmax: float = 0.05
    steps: int = 500
    keep_bonds: bool = True

    def __post_init__(self) -> None:
        check_method(self.method)
        check_number("fmax", self.fmax, "eV/Angstrom", above=0)
        check_count("steps", self.steps)


def relax(atoms: Atoms, plan: XTB | None = None) -> Atoms:
    """The structure at its next minimum; the cell stays.

    ``info["source"]`` is ``"relaxation"``.

    Parameters
    ----------
    atoms
        A molecule, or a structure that is periodic in three directions; a closed shell.
    plan
        How; left out: the defaults.

    Raises
    ------
    SamplingError
        xTB cannot do the structure or fails, the forces do not fall below ``fmax``, or bonds
        change.
    ImportError
        tblite is not installed.
    """
    plan = plan or XTB()
    relaxed = bare_copy(atoms)
    relaxed.calc = calculator(atoms, plan.method)
    bonds = BondGraph(atoms)
    with running_xtb():
        if not LBFGS(relaxed, logfile=None).run(fmax=plan.fmax, steps=plan.steps):
            largest = float(np.linalg.norm(relaxed.get_forces(), axis=1).max())
            raise SamplingError(
                f"not relaxed after {plan.steps} steps, the largest force is {largest:.3g} "
                f"eV/Angstrom (fmax is {plan.fmax:g}): raise steps or fmax"
            )
    if plan.keep_bonds and (change := bonds.change(relaxed)):
        raise SamplingError(f"{change} while the structure was relaxed")
    relaxed.calc = None
    relaxed.info["source"] = "relaxation"
    return relaxed


def check_method(method: Any) -> None:
    """Raise unless it is one of ours."""
    if method not in get_args(Method):
        raise ValueError(f"method is {method!r}: give one of {', '.join(get_args(Method))}")


def calculator(atoms: Atoms, method: Method) -> Calculator:
    """tblite's ASE calculator with the charge of ``atoms``, silent.

    Raises
    ------
    SamplingError
        The structure is nothing for xTB: an open shell, periodic in one or two directions, too
        narrow a cell, or an element without parameters.
    ImportError
        tblite is not installed.
    """
    with needs("tblite", "sampling"):
        from tblite.ase import TBLite
    check_atoms(atoms)
    charge = total_charge(atoms)
    _check_shell(atoms, charge)
    _check_cell(atoms)
    if atoms.numbers.max() > _HEAVIEST:
        symbol = atoms.symbols[int(atoms.numbers.argmax())]
        raise SamplingError(f"xTB has no parameters for {symbol}: it ends with Rn")
    # left out, the calculator takes the charge from initial_charges alone
    return TBLite(method=method, charge=charge, multiplicity=1, verbosity=0)


@contextmanager
def running_xtb() -> Iterator[None]:
    """Run on one thread, with errors of a calculation as :class:`SamplingError`.

    Several threads add numbers in another order each time, so that no trajectory would come
    again, and for a hundred atoms they gain little.
    """
    try:
        with _thread_pools().limit(limits=1):
            yield
    except CalculatorError as error:
        raise SamplingError(f"xTB failed: {' '.join(str(error).split())}") from error


@cache
def _thread_pools() -> Any:
    """The libraries that have threads; those that are loaded, so tblite must be there."""
    with needs("tblite", "sampling"):
        import tblite.interface  # noqa: F401 (loads its libraries)
    with needs("threadpoolctl", "sampling"):
        from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]
    return ThreadpoolController()


def bare_copy(atoms: Atoms) -> Atoms:
    """A copy without calculator and velocities."""
    copy = atoms.copy()
    copy.arrays.pop("momenta", None)
    return copy


def _check_shell(atoms: Atoms, charge: int) -> None:
    electrons = int(atoms.numbers.sum()) - charge
    name = f"{atoms.get_chemical_formula()} with charge {charge}"
    if electrons % 2:
        raise SamplingError(
            f"{name} has {electrons} electrons, an open shell: only closed shells are supported"
        )
    if electrons <= 0:
        raise SamplingError(f"{name} has {electrons} electrons: check its charge")
    if atoms.get_initial_magnetic_moments().any() or atoms.info.get("spin", 0):
        raise SamplingError(
            f"{name} has initial magnetic moments (or a spin): only closed shells are supported"
        )


def _check_cell(atoms: Atoms) -> None:
    if not atoms.pbc.any():
        return
    if not atoms.pbc.all():
        raise SamplingError(
            f"pbc is {atoms.pbc.tolist()}: tblite needs three periodic directions or none; set "
            "pbc=True with vacuum in the cell"
        )
    # distances between opposite faces
    width = float(1 / np.linalg.norm(np.linalg.inv(atoms.cell.array), axis=0).max())
    if width < _NARROWEST_CELL:
        raise SamplingError(
            f"the cell is {width:.2f} Angstrom wide (at least {_NARROWEST_CELL:g} is needed, as "
            "tblite has no k-points): repeat it"
        )
