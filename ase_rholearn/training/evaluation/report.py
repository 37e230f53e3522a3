"""An evaluation as one HTML file that needs nothing else."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from ...density.pictures.html import data_uri, filled
from ...files import atomic_write
from ..data.dataset import flatten
from . import markup, plots
from .figures import DENSITY_FIGURES, FIGURES, letter
from .job import EVALUATION
from .pictures import Worst
from .verdict import lead, number, remarks

Evaluation = Mapping[str, Any]

#: The file of the page in the folder of an evaluation.
REPORT = "report.html"

_PAGE = files(__package__) / "page"

#: Structures that the table lists; the JSON file has all.
_LISTED = 300

#: Titles of columns and tiles, by figure.
_SHORT = {
    "nmae_scf_percent": "(a) against SCF / %",
    "nmae_fit_percent": "(b) against fit / %",
    "nmae_floor_percent": "(c) floor of the basis / %",
    "nmae_one_shot_percent": "(d) one diagonalisation / %",
    "nmae_screened_percent": "(e) linear response / %",
    "dipole_error_debye": "dipole / D",
    "dipole_error_debye_per_heavy_atom": "dipole per heavy atom / D",
    "dipole_error_one_shot_debye": "(d) dipole / D",
    "dipole_error_screened_debye": "(e) dipole / D",
    "energy_error_one_shot_mev_per_atom": "(d) energy per atom / meV",
    "energy_error_screened_mev_per_atom": "(e) energy per atom / meV",
    "energy_error_mev_per_atom": "energy per atom / meV",
    "force_error_mev_per_angstrom": "forces / meV Å⁻¹",
    "normalization_electrons": "electrons corrected / e",
}

#: Stages of a training, by their names in model files.
_STAGES = {
    "start": "closed-form start",
    "gradient": "gradient training",
    "finish": "readout solved again",
}


def write_report(
    path: str | os.PathLike[str],
    evaluation: Evaluation,
    worst: Sequence[Worst] = (),
    models: Sequence[Evaluation] = (),
) -> None:
    """Write the page of an evaluation; needs matplotlib (``ase-rholearn[view]``).

    Parameters
    ----------
    path
        The file; it appears complete or not at all.
    evaluation
        Of :func:`~.job.evaluate_dataset`.
    worst
        Pictures of the worst structures.
    models
        Evaluations of several models on the same structures, for a learning curve; the
        details are those of ``evaluation``.
    """
    sections = [
        *_verdict(evaluation),
        *_comparison(evaluation, models),
        *_figures(evaluation),
        *_worst(evaluation, worst),
        *_training(evaluation),
        *_details(evaluation),
        *_provenance(evaluation),
    ]
    parts = {
        "TITLE": escape(f"Evaluation of {evaluation['model']['name']}"),
        "STYLE": (_PAGE / "style.css").read_text(encoding="utf-8"),
        "SCRIPT": (_PAGE / "sort.js").read_text(encoding="utf-8"),
        "BODY": "\n".join(sections),
    }
    page = filled((_PAGE / "report.html").read_text(encoding="utf-8"), parts)
    with atomic_write(Path(path)) as stream:
        stream.write(page.encode())


def _verdict(evaluation: Evaluation) -> Iterator[str]:
    yield f"<h1>Evaluation of {escape(evaluation['model']['name'])}</h1>"
    yield f'<p class="lead">{escape(lead(evaluation))}</p>'
    tiles = []
    for name, title in _SHORT.items():
        if name in evaluation["mean"] and name != "dipole_error_debye_per_heavy_atom":
            quantity, _, unit = title.partition(" / ")
            mean, worst = (number(evaluation[kind][name]) for kind in ("mean", "worst"))
            known = evaluation["known"][name]
            part = "" if known == len(evaluation["structures"]) else f", of {known} structures"
            tiles.append(
                f"<li><span>{escape(quantity)}</span><b>{mean} {escape(unit)}</b>"
                f"<span>worst {worst} {escape(unit)}{part}</span></li>"
            )
    yield f'<ul class="tiles">{"".join(tiles)}</ul>'
    yield f"<ul>{''.join(f'<li>{escape(text)}</li>' for text in remarks(evaluation))}</ul>"
    yield from _missing(evaluation)


def _missing(evaluation: Evaluation) -> Iterator[str]:
    """Which figures are not there, and why."""
    count = evaluation["data"]["structures"]
    lines: dict[str, list[str]] = {}
    for name, reasons in evaluation["missing"].items():
        for reason, times in reasons.items():
            where = "" if times == count else f" ({times} of {count} structures)"
            lines.setdefault(reason + where, []).append(letter(name))
    if lines:
        items = [f"<li>{', '.join(who)}: {escape(why)}.</li>" for why, who in lines.items()]
        yield f"<p>Not known:</p><ul>{''.join(items)}</ul>"


def _comparison(evaluation: Evaluation, models: Sequence[Evaluation]) -> Iterator[str]:
    if len(models) < 2:
        return
    yield "<h2>Models</h2>"
    rows = [{**m["model"], "mean": m["mean"], "worst": m["worst"]} for m in models]
    if len({row["training_structures"] for row in rows} - {None}) > 1:
        svg = plots.learning_curve(rows, evaluation["headline"])
        caption = (
            "Mean error on the same structures against the number of structures that each model "
            "was trained on."
        )
        yield f'<div class="figures">{markup.figure(svg, "Learning curve", caption)}</div>'
    names = [name for name in DENSITY_FIGURES if any(name in row["mean"] for row in rows)]
    head = ["model", "training structures", *(f"{_SHORT[n]}, mean" for n in names)]
    body = [
        [row["name"], row["training_structures"], *(row["mean"].get(name) for name in names)]
        for row in rows
    ]
    yield markup.table(head, body)
    yield f"<p>Everything below is about {escape(evaluation['model']['name'])}.</p>"


def _figures(evaluation: Evaluation) -> Iterator[str]:
    yield "<h2>Figures</h2>"
    yield f'<div class="figures">{"".join(_all_figures(evaluation))}</div>'


def _all_figures(evaluation: Evaluation) -> Iterator[str]:
    structures = evaluation["structures"]
    yield markup.figure(
        plots.distribution(structures),
        "Errors of all structures",
        "One dot a structure; the line is the median. (a) prediction against the SCF density, "
        "(b) prediction against the fitted density, (c) fit against the SCF density, (d) density "
        "after one diagonalisation against the SCF density, (e) after its linear response.",
    )
    yield from _trends(evaluation)
    if evaluation["species"]:
        yield markup.figure(
            plots.species(evaluation["species"]),
            "Errors of atoms",
            "Hirshfeld's share of ∫|Δρ| that an atom carries, by species.",
        )
    yield from _parity_figures(structures)
    if evaluation["calibration"]:
        yield markup.figure(
            plots.calibration(evaluation["calibration"]),
            "Calibration of uncertainties",
            "Bins of equal numbers of atoms; on the dashed line the model knows its errors.",
        )
    yield markup.figure(
        plots.timings(structures),
        "Time of predictions",
        "Neighbours, network and coefficients of one structure at a time; "
        f"{number(1000 * evaluation['seconds']['per_atom'])} ms an atom over all.",
    )


def _trends(evaluation: Evaluation) -> Iterator[str]:
    """The model's own error against what may explain it."""
    structures, own = evaluation["structures"], evaluation["own_error"]
    yield markup.figure(
        plots.trend(structures, "atoms", own, "atoms"),
        "Error and size",
        _ranked("One dot a structure.", evaluation["trends"].get("atoms")),
    )
    if any("training_distance" in entry for entry in structures):
        axis = "distance from training set / neighbours"
        yield markup.figure(
            plots.trend(structures, "training_distance", own, axis),
            "Error and distance from the training set",
            _ranked(
                "How much the radial surroundings of atoms differ from the nearest ones in the "
                "training set, mean over a structure's atoms.",
                evaluation["trends"].get("training_distance"),
            ),
        )


def _parity_figures(structures: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if panels := list(plots.coefficients(structures)):
        yield markup.figure(
            f'<div class="panels">{"".join(map(markup.inline, panels))}</div>',
            "Coefficients",
            "Predicted against reference: some of each structure, on radial functions made "
            "orthonormal on each atom.",
            wide=True,
        )
    vectors = [
        ("dipole_debye", "Dipole moments", "component", "D"),
        ("forces_ev_per_angstrom", "Forces", "component", "eV Å⁻¹"),
        ("energy_ev", "Energies", "energy", "eV"),
    ]
    for name, title, quantity, unit in vectors:
        known = [entry[name] for entry in structures if name in entry]
        if known:
            pairs = [
                np.stack([np.ravel(one["reference"]), np.ravel(one["predicted"])], axis=1)
                for one in known
            ]
            yield markup.figure(plots.parity(np.concatenate(pairs), quantity, unit), title, "")


def _ranked(text: str, rank: float | None) -> str:
    return text if rank is None else f"{text} Rank correlation {rank:.2f}."


def _worst(evaluation: Evaluation, worst: Sequence[Worst]) -> Iterator[str]:
    if not worst:
        return
    yield "<h2>Worst structures</h2>"
    yield (
        "<p>Predicted minus fitted reference density: blue where there is too much of it, orange "
        "where there is too little; two isosurfaces, and the best plane through all atoms.</p>"
    )
    figure = evaluation["own_error"]
    for one in worst:
        formula, name = escape(one.entry["formula"]), escape(one.entry["id"])
        error = f"{letter(figure)} {number(one.entry[figure])} %"
        yield f'<h3>{formula}, {error} <span class="faint">{name}</span></h3>'
        pictures = [
            f'<img src="{data_uri(content, "image/png")}" alt="{kind} of the density difference '
            f'of {formula}">'
            for kind, content in (("isosurfaces", one.surface), ("plane", one.plane))
            if content
        ]
        yield f'<div class="pair">{"".join(pictures) or "No difference to draw."}</div>'


def _training(evaluation: Evaluation) -> Iterator[str]:
    """Errors during training, if the model's file has them."""
    history = evaluation["model"]["card"].get("history")
    if not history:
        return
    yield "<h2>Training</h2>"
    yield (
        "<p>Errors in the metric of the loss, root mean square, in % of the density that is to be "
        f"predicted; of the {history['part']} part after each stage.</p>"
    )
    if history["epochs"]:
        caption = (
            "Errors of the training part are those while weights moved. Gradient training keeps "
            "the best epoch."
        )
        drawing = markup.figure(plots.epochs(history), "Epochs", caption)
        yield f'<div class="figures">{drawing}</div>'
    stages = history["stages"]
    best = min(stages, key=stages.__getitem__, default="")
    rows = [[_STAGES.get(k, k), v, "yes" if k == best else ""] for k, v in stages.items()]
    yield markup.heading("Stages")
    yield markup.table(["stage", "error / %", "kept"], rows)


def _details(evaluation: Evaluation) -> Iterator[str]:
    yield "<h2>Details</h2>"
    yield from _shares(evaluation["shares"])
    yield from _blocks(evaluation["blocks"])
    if evaluation["species"]:
        head = ["species", "atoms", "mean ∫|Δρ| / e", "worst / e", "share of the sum / %"]
        yield markup.heading("Errors of atoms by species")
        yield markup.table(head, [list(row.values()) for row in evaluation["species"]])
    if evaluation["calibration"]:
        head = ["species", "atoms", "rank correlation", "mean expected / e", "mean true / e"]
        yield markup.heading("Uncertainties")
        rows = [list(row.values())[: len(head)] for row in evaluation["calibration"]]
        yield markup.table(head, rows)
    yield from _structures(evaluation)


def _shares(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Shares of species and l in the squared error, shaded."""
    if not rows:
        return
    l_max = len(rows[0]["l"]) - 2
    head = ["species", *map(_degree, range(l_max + 1)), "higher"]
    body = [[row["species"], *(markup.Share(value) for value in row["l"])] for row in rows]
    yield markup.heading("What each species and l carries of the squared error")
    yield markup.table(head, body)
    yield (
        '<p class="faint">In %: each atom\'s stockholder share of Δρ, expanded in multipoles '
        "about its nucleus, and its square integrated.</p>"
    )


def _blocks(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Relative errors of coefficients by species and l."""
    if not rows:
        return
    cells = {(row["species"], row["l"]): row["relative_error_percent"] for row in rows}
    species = dict.fromkeys(row["species"] for row in rows)
    columns = range(max(row["l"] for row in rows) + 1)
    yield markup.heading("Errors of coefficients")
    body = [[one, *(cells.get((one, l)) for l in columns)] for one in species]
    yield markup.table(["species", *map(_degree, columns)], body)
    yield (
        '<p class="faint">Root mean square, in % of that of the reference, on radial functions '
        "made orthonormal on each atom. Errors of neighbours may cancel in the density.</p>"
    )


def _degree(l: int) -> str:
    return f"l = {l}".replace(" ", "\N{NO-BREAK SPACE}")


def _structures(evaluation: Evaluation) -> Iterator[str]:
    structures, figure = evaluation["structures"], evaluation["own_error"]
    ranked = sorted(structures, key=lambda entry: -entry[figure])
    names = [name for name in _SHORT if name in evaluation["mean"]]
    head = ["structure", "id", "atoms", *(_SHORT[name] for name in names), "ms"]
    rows = [
        [
            entry["formula"],
            entry["id"],
            entry["atoms"],
            *(entry.get(name) for name in names),
            1000 * entry["seconds"]["prediction"],
        ]
        for entry in ranked[:_LISTED]
    ]
    yield markup.heading("Structures")
    yield markup.table(head, rows, texts=2)
    if len(ranked) > _LISTED:
        yield f'<p class="faint">The worst {_LISTED}; {EVALUATION} has all {len(ranked)}.</p>'


def _provenance(evaluation: Evaluation) -> Iterator[str]:
    model, data = evaluation["model"], evaluation["data"]
    yield "<h2>Provenance</h2>"
    if evaluation["notes"]:
        yield f"<ul>{''.join(f'<li>{escape(note)}</li>' for note in evaluation['notes'])}</ul>"
    shown = {"errors", "history"}
    card = {key: value for key, value in model["card"].items() if value and key not in shown}
    settings = {key: value for key, value in data["settings"].items() if key != "basis"}
    groups = {
        "Model": {**{k: v for k, v in model.items() if k != "card"}, **card},
        "Data": {**{k: v for k, v in data.items() if k != "settings"}, **settings},
        "Evaluation": {
            "date": evaluation["date"],
            **evaluation["settings"],
            **evaluation["processes"],
            "versions": ", ".join(f"{k} {v}" for k, v in evaluation["versions"].items()),
        },
    }
    for title, entries in groups.items():
        pairs = [
            f"<dt>{escape(key.replace('_', ' '))}</dt><dd>{escape(_plain(value))}</dd>"
            for key, value in flatten(entries)
            if value is not None
        ]
        yield f"{markup.heading(title)}<dl>{''.join(pairs)}</dl>"
    meanings = "; ".join(FIGURES[name] for name in DENSITY_FIGURES)
    yield (
        f'<p class="faint">{escape(meanings)}. NMAE is 100 times the integral of the absolute '
        "difference over the number of electrons, on an atom-centred quadrature; of crystals on "
        "a grid over the cell. Everything is in "
        f"{EVALUATION} beside this page.</p>"
    )


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
