"""Names and units of the figures that an evaluation gives."""

from __future__ import annotations

from collections.abc import Collection

#: Figures of one structure and what they mean, with units. NMAE is 100 times the integral of
#: ``|rho - rho_ref|`` over the number of electrons.
FIGURES = {
    "nmae_scf_percent": "(a) NMAE against the SCF density, %",
    "nmae_fit_percent": "(b) NMAE against the fitted density, %",
    "nmae_floor_percent": "(c) NMAE of the fit itself, %",
    "nmae_one_shot_percent": "(d) NMAE after one diagonalisation, %",
    "nmae_screened_percent": "(e) NMAE after its linear response, %",
    "dipole_error_debye": "length of the dipole's error, D",
    "dipole_error_debye_per_heavy_atom": "the same per atom heavier than helium, D",
    "dipole_error_one_shot_debye": "the dipole's error after one diagonalisation, D",
    "dipole_error_screened_debye": "the dipole's error after its linear response, D",
    "normalization_electrons": "electrons added to normalise, absolute",
    "energy_error_one_shot_mev_per_atom": "error of the energy of one diagonalisation, absolute, "
    "meV/atom",
    "energy_error_screened_mev_per_atom": "the same after its linear response, meV/atom",
    "energy_error_mev_per_atom": "error of the energy, absolute, meV/atom",
    "force_error_mev_per_angstrom": "mean absolute error of force components, meV/Å",
}

#: Those that compare densities, in the order in which they are shown.
DENSITY_FIGURES = tuple(name for name in FIGURES if name.startswith("nmae"))

#: What a user gets, and what the model is responsible for.
_USERS, _MODELS = DENSITY_FIGURES[:2]


def letter(name: str) -> str:
    """Of a figure that compares densities.

    >>> [letter(name) for name in DENSITY_FIGURES]
    ['(a)', '(b)', '(c)', '(d)', '(e)']
    """
    return FIGURES[name][:3]


def headline(known: Collection[str]) -> str:
    """The figure of the verdict, of those that are known: (a), or else (b).

    >>> headline(["nmae_fit_percent", "dipole_error_debye"])
    'nmae_fit_percent'
    """
    return _USERS if _USERS in known else _MODELS


def own_error(known: Collection[str]) -> str:
    """The figure by which structures and models are ranked: (b), or else (a).

    It has nothing of the floor of the basis, below which (a) cannot fall.

    >>> own_error(["nmae_scf_percent", "nmae_fit_percent"])
    'nmae_fit_percent'
    """
    return _MODELS if _MODELS in known else _USERS
