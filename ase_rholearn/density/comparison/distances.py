"""How far apart two densities are, in closed form and in ASE's units."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from ase import units

from ..electrostatics.potential import NEUTRAL, total_charge
from ..electrostatics.products import Operator, inner_product
from .expansion import electron_terms

if TYPE_CHECKING:
    from ..density import Density


def l2_distance(first: Density, second: Density) -> float:
    r"""Root of the integral of the squared difference: e/Angstrom^1.5.

    .. math:: \sqrt{\int (\rho_1 - \rho_2)^2}

    In closed form, for molecules and for crystals (over one cell), and for different
    structures and bases. Of densities on the same structure and basis the atomic densities
    cancel before, and only the difference of the coefficients counts.

    Raises
    ------
    ValueError
        The densities have different periods.

    Examples
    --------
    >>> from ase import Atoms
    >>> from ase_rholearn import Basis, Density
    >>> basis = Basis.from_shells({"He": [(0, [1.0])]})
    >>> near, far = (Density(Atoms("He", [[x, 0, 0]]), basis, [1.0]) for x in (0, 20))
    >>> alone = l2_distance(near, Density(near.atoms, basis, [0.0], normalize=False))
    >>> round(l2_distance(near, far) / alone, 6)  # apart, by Pythagoras
    1.414214
    """
    return _norm(first, second, "overlap") / units.Bohr**1.5


def coulomb_distance(first: Density, second: Density) -> float:
    r"""Root of the Coulomb interaction of the difference with itself: eV^0.5.

    .. math:: \sqrt{\int \frac{\Delta\rho(r) \Delta\rho(r')}{|r - r'|} d^3r d^3r'}, \qquad
              \Delta\rho = \rho_1 - \rho_2

    Half of its square, in eV, is the electrostatic energy of the difference: the error of a
    Hartree energy that is to first order in it corrected. In crystals it is that of a cell with
    the whole crystal.

    Raises
    ------
    ValueError
        The densities have different periods; or they are periodic and hold different numbers
        of electrons, or are not periodic in all directions.
    """
    return _norm(first, second, "coulomb") * np.sqrt(units.Hartree)


def _norm(first: Density, second: Density, operator: Operator) -> float:
    """Norm of the difference in atomic units."""
    atoms, difference = first.atoms, electron_terms(first - second)
    if operator == "coulomb":
        check_coulomb(atoms.pbc, total_charge(difference))
    cell = atoms.cell.array / units.Bohr
    square = inner_product(difference, difference, operator, cell, atoms.pbc)
    # rounding can leave a little less than nothing
    return float(np.sqrt(max(square, 0.0)))


def check_coulomb(pbc: np.ndarray, charge: float) -> None:
    """Raise a ValueError unless the Coulomb interaction of such a density is finite."""
    if not pbc.any():
        return
    if not pbc.all():
        raise ValueError(
            f"atoms.pbc is {pbc.tolist()}: Coulomb interactions of slabs and wires are not "
            "implemented; put vacuum into the cell and set pbc=True"
        )
    if abs(charge) > NEUTRAL:
        raise ValueError(
            f"the cells differ by {charge:g} electrons, and the Coulomb interaction of a charged "
            "crystal is infinite: give densities of equal numbers of electrons "
            "(normalize=True), or use the overlap (l2_distance)"
        )
