"""What an evaluation says, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Evaluation = Mapping[str, Any]

#: What predictions are compared with, by figure.
_AGAINST = {
    "nmae_scf_percent": "the self-consistent density",
    "nmae_fit_percent": "the fitted density",
}

#: Rank correlations below this are not worth a sentence, nor are those that chance gives to one
#: of twenty sets: their spread is 1 / sqrt(n - 1).
_WEAK, _CHANCE = 0.3, 1.96


def number(value: float) -> str:
    """A figure with two digits that count, or three above 10.

    >>> [number(value) for value in (0.04567, 1.234, 123.4, 0.0)]
    ['0.046', '1.2', '123', '0']
    """
    if abs(value) < 1e-9:
        return "0"
    if abs(value) >= 10:
        return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}"
    text = f"{value:#.2g}"
    return text if "e" not in text else f"{value:.1e}"


def lead(evaluation: Evaluation) -> str:
    """The verdict in one sentence."""
    figure = evaluation["headline"]
    mean, worst = evaluation["mean"][figure], evaluation["worst"][figure]
    count = evaluation["data"]["structures"]
    structures = "the one structure" if count == 1 else f"{count} structures"
    text = (
        f"On {structures}{_unseen(evaluation)}, the predicted density differs from "
        f"{_AGAINST[figure]} by {number(mean)} % of the electrons"
    )
    return f"{text}." if count == 1 else f"{text} on average, {number(worst)} % at worst."


def remarks(evaluation: Evaluation) -> Iterator[str]:
    """What else there is to know, a sentence each."""
    yield from _seen(evaluation)
    mean = evaluation["mean"]
    if {"nmae_fit_percent", "nmae_floor_percent"} <= mean.keys():
        model, floor = mean["nmae_fit_percent"], mean["nmae_floor_percent"]
        limit = "the model" if model > floor else "the basis"
        yield (
            f"The model's own error (b) is {number(model)} %, the floor of its basis (c) "
            f"{number(floor)} %: {limit} limits the accuracy."
        )
    if "nmae_one_shot_percent" in mean:
        yield (
            "One Kohn-Sham diagonalisation that starts from the prediction leaves "
            f"{number(mean['nmae_one_shot_percent'])} % (d){_screened(mean)}."
        )
    yield from _species(evaluation)
    yield from _trends(evaluation)
    if uncertain := [row for row in evaluation["calibration"] if row["rank_correlation"]]:
        found = ", ".join(f"{r['species']} {r['rank_correlation']:.2f}" for r in uncertain)
        yield f"Rank correlation of expected and true errors of atoms: {found}."
    yield from _extrapolation(evaluation)
    yield from _energies(evaluation["energies"])


def _screened(mean: Mapping[str, float]) -> str:
    found = mean.get("nmae_screened_percent")
    return "" if found is None else f", its linear response {number(found)} % (e)"


def _energies(figures: Mapping[str, float]) -> Iterator[str]:
    if "energy_rmse_mev_per_atom" in figures:
        text = f"Energies differ by {number(figures['energy_rmse_mev_per_atom'])} meV/atom"
        if "forces_rmse_mev_per_angstrom" in figures:
            text += f", forces by {number(figures['forces_rmse_mev_per_angstrom'])} meV/Å"
        yield f"{text} (root mean square)."


def _extrapolation(evaluation: Evaluation) -> Iterator[str]:
    reaches = [entry["per_atom"].get("extrapolation") for entry in evaluation["structures"]]
    far = sum(max(reach) > 1 for reach in reaches if reach)
    if far:
        yield (
            f"In {far} of {len(reaches)} structures an atom's surroundings are outside of what "
            "the model knows."
        )


def _unseen(evaluation: Evaluation) -> str:
    return " that the model has not seen" if evaluation["data"]["seen_in_training"] == 0 else ""


def _seen(evaluation: Evaluation) -> Iterator[str]:
    seen, count = evaluation["data"]["seen_in_training"], evaluation["data"]["structures"]
    if seen is None:
        yield "It is not known whether the model was trained on some of these structures."
    elif seen:
        yield f"The model was trained on {seen} of these {count} structures: errors are too small."


def _species(evaluation: Evaluation) -> Iterator[str]:
    rows = evaluation["species"]
    if len(rows) > 1 and any(row["mean_error_electrons"] for row in rows):
        worst = max(rows, key=lambda row: row["mean_error_electrons"])
        yield (
            f"An atom of {worst['species']} carries the largest error, "
            f"{number(worst['mean_error_electrons'])} e on average; all of this species "
            f"together carry {worst['share_percent']:.0f} % of the whole."
        )


def _trends(evaluation: Evaluation) -> Iterator[str]:
    found = evaluation["trends"]
    names = {"atoms": "size", "training_distance": "distance from the training set"}
    count = max(2, evaluation["data"]["structures"])
    threshold = max(_WEAK, _CHANCE / (count - 1) ** 0.5)
    for key, name in names.items():
        if (rank := found.get(key)) is not None and abs(rank) >= threshold:
            grows = "grow" if rank > 0 else "shrink"
            yield f"Errors {grows} with the {name} (rank correlation {rank:.2f})."
