"""What many structures say together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from ase.data import atomic_numbers, chemical_symbols
from scipy.stats import spearmanr

from .energies import summarize_energies
from .figures import DENSITY_FIGURES, FIGURES, headline, own_error

#: Atoms of a species that a rank correlation needs, and structures of a trend.
_FEW = 5

#: Bins of equal numbers of atoms in calibration plots.
_BINS = 10

Entry = Mapping[str, Any]


def summarize(structures: Sequence[Entry]) -> dict[str, Any]:
    """Means and what is behind them.

    Parameters
    ----------
    structures
        Results of :func:`~.structure.judge`, one at least.

    Returns
    -------
    dict
        ``headline`` and ``own_error`` (see the module ``figures``); ``known`` (for how many
        structures each figure is), ``mean``, ``median``, ``worst`` and ``meaning`` of each;
        ``missing`` (figure -> reason -> number of structures), ``species``, ``shares``,
        ``blocks``, ``trends``, ``calibration``, ``energies``,
        ``seconds``: see docs/evaluation.md.
    """
    if not structures:
        raise ValueError("references is empty: there is nothing to evaluate")
    columns = {name: [s[name] for s in structures if name in s] for name in FIGURES}
    known = {name: np.array(column) for name, column in columns.items() if column}
    of_all = [name for name in known if len(known[name]) == len(structures)]
    return {
        "headline": headline(of_all),
        "own_error": own_error(of_all),
        "known": {name: len(column) for name, column in known.items()},
        "mean": {name: float(column.mean()) for name, column in known.items()},
        "median": {name: float(np.median(column)) for name, column in known.items()},
        "worst": {name: float(column.max()) for name, column in known.items()},
        "meaning": FIGURES,
        "missing": _missing(structures),
        "species": _species(structures),
        "shares": _shares(structures),
        "blocks": _blocks(structures),
        "trends": trends(structures, own_error(of_all)),
        "calibration": _calibration(structures),
        "energies": summarize_energies(structures),
        "seconds": _seconds(structures),
    }


def trends(structures: Sequence[Entry], figure: str) -> dict[str, float]:
    """Rank correlations (Spearman's) of a figure with what may explain it.

    Parameters
    ----------
    structures
        Results.
    figure
        Whose correlation with ``atoms`` and ``training_distance`` is wanted; those that are
        not known, or the same for all, are left out.
    """
    found = {}
    for name in ("atoms", "training_distance"):
        pairs = [(s[name], s[figure]) for s in structures if name in s and figure in s]
        if (rank := _rank_correlation(pairs)) is not None:
            found[name] = rank
    return found


def _rank_correlation(pairs: Sequence[tuple[float, float]]) -> float | None:
    """None where there are too few pairs, or no differences."""
    if len(pairs) < _FEW or any(len(set(column)) == 1 for column in zip(*pairs, strict=True)):
        return None
    first, second = zip(*pairs, strict=True)
    return float(spearmanr(first, second).statistic)


def _missing(structures: Sequence[Entry]) -> dict[str, dict[str, int]]:
    return {
        name: dict(counts)
        for name in DENSITY_FIGURES
        if (counts := Counter(s["missing"][name] for s in structures if name in s["missing"]))
    }


def _species(structures: Sequence[Entry]) -> list[dict[str, Any]]:
    """Stockholder parts of the error, by species."""
    errors = _by_species(structures, "error_electrons")
    total = sum(float(values.sum()) for values in errors.values())
    return [
        {
            "species": chemical_symbols[z],
            "atoms": len(values),
            "mean_error_electrons": float(values.mean()),
            "worst_error_electrons": float(values.max()),
            "share_percent": 100 * float(values.sum()) / total if total else 0.0,
        }
        for z, values in sorted(errors.items())
    ]


def _by_species(structures: Iterable[Entry], name: str) -> dict[int, np.ndarray]:
    """A quantity of atoms: values (n,) by atomic number."""
    parts: dict[int, list[float]] = {}
    for entry in structures:
        per_atom = entry["per_atom"]
        for z, value in zip(per_atom["numbers"], per_atom.get(name, ()), strict=False):
            parts.setdefault(z, []).append(value)
    return {z: np.array(values) for z, values in parts.items()}


def _shares(structures: Sequence[Entry]) -> list[dict[str, Any]]:
    """What each species and l carries of the squared error, %; the last l stands for higher."""
    sums: dict[str, np.ndarray] = {}
    for entry in structures:
        for species, squares in entry.get("multipoles", {}).items():
            sums[species] = sums.get(species, 0.0) + np.array(squares)
    total = sum(float(row.sum()) for row in sums.values())
    return [
        {"species": species, "l": [100 * float(v) / total if total else 0.0 for v in sums[species]]}
        for species in sorted(sums, key=atomic_numbers.__getitem__)
    ]


def _blocks(structures: Sequence[Entry]) -> list[dict[str, Any]]:
    """Errors of coefficients by species and l, relative to what is to be predicted."""
    sums: dict[tuple[str, int], np.ndarray] = {}
    for entry in structures:
        for block in entry.get("blocks", ()):
            key = block["species"], block["l"]
            row = [block["atoms"], block["squared_error"], block["squared_reference"]]
            sums[key] = sums.get(key, np.zeros(3)) + row
    return [
        {
            "species": species,
            "l": l,
            "atoms": int(atoms),
            "relative_error_percent": 100 * float(np.sqrt(error / signal)) if signal else None,
        }
        for (species, l), (atoms, error, signal) in sorted(
            sums.items(), key=lambda item: (atomic_numbers[item[0][0]], item[0][1])
        )
    ]


def _calibration(structures: Sequence[Entry]) -> list[dict[str, Any]]:
    """Expected against true errors of atoms, by species; empty without uncertainties."""
    known = [s for s in structures if "uncertainty_electrons" in s["per_atom"]]
    known = [s for s in known if "error_electrons" in s["per_atom"]]
    expected = _by_species(known, "uncertainty_electrons")
    true = _by_species(known, "error_electrons")
    found = []
    for z in sorted(expected):
        order = np.argsort(expected[z], kind="stable")
        bins = [part for part in np.array_split(order, min(_BINS, len(order))) if len(part)]
        pairs = list(zip(expected[z].tolist(), true[z].tolist(), strict=True))
        found.append(
            {
                "species": chemical_symbols[z],
                "atoms": len(order),
                "rank_correlation": _rank_correlation(pairs),
                "mean_uncertainty_electrons": float(expected[z].mean()),
                "mean_error_electrons": float(true[z].mean()),
                "bins": [
                    {
                        "atoms": len(part),
                        "uncertainty_electrons": float(expected[z][part].mean()),
                        "error_electrons": float(true[z][part].mean()),
                    }
                    for part in bins
                ],
            }
        )
    return found


def _seconds(structures: Sequence[Entry]) -> dict[str, float]:
    """Wall time of predictions, one structure at a time."""
    each = np.array([entry["seconds"]["prediction"] for entry in structures])
    atoms = np.array([entry["atoms"] for entry in structures])
    return {
        "mean_per_structure": float(each.mean()),
        "median_per_structure": float(np.median(each)),
        "worst_per_structure": float(each.max()),
        "per_atom": float(each.sum() / atoms.sum()),
    }
