"""Figures of an evaluation as SVG text; matplotlib is needed (the extra ``view``).

Lines and letters have the colour of the page's text, and data colours are those that the page's
style defines, so that they suit a light and a dark page. Many points become a picture inside
the SVG, whose size then no longer depends on their number.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from ...extras import needs
from .figures import DENSITY_FIGURES, letter

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Entry = Mapping[str, Any]

#: Stands for the colour of the page's text while a figure is made.
_INK = "#010203"

#: Colours of data, by the name under which the style of the page has them; after M. Okabe and
#: K. Ito, they can be told apart by all readers.
COLOURS = {
    "blue": "#0072b2",
    "orange": "#d55e00",
    "green": "#009e73",
    "purple": "#a24a86",
    "yellow": "#b8860b",
}

#: One for each figure (a) to (e).
_FIGURE_COLOURS = dict(
    zip(DENSITY_FIGURES, ("orange", "blue", "green", "purple", "yellow"), strict=True)
)

#: Width and height of a figure, inches.
_SIZE = (5.4, 3.5)

#: Points that stay points; more become a picture.
_VECTOR = 300

#: Epochs that are dots on a line; of more there is the line.
_FEW = 40

#: Logarithmic scales are for values above this, the largest of which is so many times the
#: smallest.
_ZERO, _NARROW = 1e-9, 3.0

_STYLE: Any = {
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "grid.color": _INK,
    "grid.alpha": 0.15,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "font.size": 10.0,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "evaluation",
    "figure.constrained_layout.use": True,
}


def distribution(structures: Sequence[Entry]) -> str:
    """Every structure's figures (a) to (e) beside each other, with the median."""
    names = [name for name in DENSITY_FIGURES if any(name in s for s in structures)]
    random = np.random.default_rng(0)
    with _figure(height=0.75 * len(names) + 0.9) as (figure, svg):
        ax = figure.subplots()
        for row, name in enumerate(names):
            values = np.array([s[name] for s in structures if name in s])
            across = row + random.uniform(-0.22, 0.22, len(values))
            _points(ax, values, across, COLOURS[_FIGURE_COLOURS[name]])
            median = float(np.median(values))
            ax.plot([median] * 2, [row - 0.36, row + 0.36], color=_INK, lw=2)
        ax.set(xlabel="NMAE / %", ylim=(len(names) - 0.5, -0.5))
        ax.set_yticks(range(len(names)), [letter(name) for name in names])
        ax.grid(visible=False, axis="y")
        _logarithmic(ax, [s[name] for s in structures for name in names if name in s], "x")
    return svg()


def trend(structures: Sequence[Entry], name: str, figure: str, label: str) -> str:
    """A figure against something else that is known of the structures."""
    pairs = [(s[name], s[figure]) for s in structures if name in s and figure in s]
    x, y = np.array(pairs, dtype=float).T
    with _figure() as (drawn, svg):
        ax = drawn.subplots()
        _points(ax, x, y, COLOURS[_FIGURE_COLOURS[figure]])
        ax.set(xlabel=label, ylabel=f"{letter(figure)} NMAE / %")
        _logarithmic(ax, y.tolist(), "y")
    return svg()


def coefficients(structures: Sequence[Entry]) -> Iterator[str]:
    """Predicted against reference coefficients of the orthonormal basis, a figure for each l."""
    drawn: dict[int, list[np.ndarray]] = {}
    for entry in structures:
        for l, pairs in entry.get("coefficients", {}).items():
            drawn.setdefault(int(l), []).append(np.array(pairs))
    for l in sorted(drawn):
        predicted, reference = np.concatenate(drawn[l], axis=1)
        with _figure(width=3.2, height=3.1) as (figure, svg):
            ax = figure.subplots()
            _parity(ax, reference, predicted, COLOURS["blue"])
            ax.set_title(f"l = {l}", fontsize=10)
            ax.set(xlabel="reference / e bohr⁻¹·⁵", ylabel="predicted / e bohr⁻¹·⁵")
        yield svg()


def parity(pairs: np.ndarray, quantity: str, unit: str) -> str:
    """Predicted against reference values, and the error below.

    Parameters
    ----------
    pairs
        Reference and predicted values: (n, 2).
    quantity, unit
        For the axes.
    """
    with _figure(height=4.6) as (figure, svg):
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(2.2, 1))
        _parity(upper, pairs[:, 0], pairs[:, 1], COLOURS["blue"])
        upper.set(ylabel=f"predicted {quantity} / {unit}", aspect="auto")
        _points(lower, pairs[:, 0], pairs[:, 1] - pairs[:, 0], COLOURS["orange"])
        lower.axhline(0, color=_INK, lw=0.8)
        lower.set(xlabel=f"reference {quantity} / {unit}", ylabel=f"error / {unit}")
    return svg()


def species(entries: Sequence[Entry]) -> str:
    """Mean and worst error of an atom, by species."""
    with _figure(height=0.38 * len(entries) + 1.1) as (figure, svg):
        ax = figure.subplots()
        for row, entry in enumerate(entries):
            mean, worst = entry["mean_error_electrons"], entry["worst_error_electrons"]
            ax.plot([mean, worst], [row, row], color=_INK, alpha=0.35, lw=1.2)
            ax.plot(mean, row, "o", color=COLOURS["blue"], label="mean" if not row else None)
            ax.plot(worst, row, "D", color=COLOURS["orange"], label="worst" if not row else None)
        ax.set_yticks(range(len(entries)), [entry["species"] for entry in entries])
        ax.set(xlabel="stockholder part of ∫|Δρ| / e", ylim=(len(entries) - 0.5, -0.5))
        kinds = ("mean_error_electrons", "worst_error_electrons")
        values = [entry[kind] for entry in entries for kind in kinds]
        _logarithmic(ax, values, "x")
        ax.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, borderaxespad=0.0)
    return svg()


def timings(structures: Sequence[Entry]) -> str:
    """Time of predictions against size."""
    atoms = np.array([entry["atoms"] for entry in structures])
    times = np.array([1000 * entry["seconds"]["prediction"] for entry in structures])
    with _figure() as (figure, svg):
        ax = figure.subplots()
        _points(ax, atoms, times, COLOURS["green"])
        ax.set(xlabel="atoms", ylabel="wall time of one prediction / ms", ylim=(0, None))
    return svg()


def calibration(entries: Sequence[Entry]) -> str:
    """Expected against true errors of atoms, in bins of equal numbers, by species."""
    kinds = [(colour, marker) for marker in "osD^v" for colour in COLOURS.values()]
    with _figure(height=4.2) as (figure, svg):
        ax = figure.subplots()
        values = []
        for entry, (colour, marker) in zip(entries, kinds, strict=False):
            x = [part["uncertainty_electrons"] for part in entry["bins"]]
            y = [part["error_electrons"] for part in entry["bins"]]
            ax.plot(x, y, marker, color=colour, label=entry["species"], ms=5)
            values += x + y
        ends = [min(values), max(values)]
        ax.plot(ends, ends, color=_INK, lw=0.8, ls="--")
        ax.set(xlabel="expected error of an atom / e", ylabel="true error / e")
        _logarithmic(ax, values, "x")
        _logarithmic(ax, values, "y")
        ax.legend(ncols=2)
    return svg()


def learning_curve(models: Sequence[Entry], figure: str) -> str:
    """Mean error against the number of training structures, of several models."""
    known = [(m["training_structures"], m["mean"]) for m in models if m["training_structures"]]
    known.sort(key=lambda pair: pair[0])
    with _figure() as (drawn, svg):
        ax = drawn.subplots()
        for name in DENSITY_FIGURES:
            pairs = [(count, mean[name]) for count, mean in known if name in mean]
            if pairs:
                counts, values = zip(*pairs, strict=True)
                width = 2.0 if name == figure else 1.0
                colour = COLOURS[_FIGURE_COLOURS[name]]
                ax.plot(counts, values, "o-", color=colour, lw=width, label=letter(name))
        ax.set(xlabel="training structures", ylabel="mean NMAE / %", xscale="log", yscale="log")
        sizes = sorted({count for count, _ in known})
        ax.set_xticks(sizes, [str(size) for size in sizes])
        ax.set_xticks([], minor=True)
        _plain_numbers(ax, "y", few=True)
        ax.legend(ncols=2)
    return svg()


def epochs(history: Entry) -> str:
    """Errors of each epoch of a training, the best one marked; stages around it are lines."""
    judged = history[history["part"]]
    best = min(range(len(judged)), key=judged.__getitem__)
    marker = "." if len(judged) < _FEW else ""
    with _figure(height=3.9) as (figure, svg):
        from matplotlib.ticker import MaxNLocator

        ax = figure.subplots()
        for name, colour in (("training", "orange"), ("validation", "blue")):
            if history[name]:
                line = ax.plot(history["epochs"], history[name], color=COLOURS[colour])
                line[0].set(label=name, marker=marker)
        ax.plot(history["epochs"][best], judged[best], "o", color=_INK, label="best epoch")
        around = {"start": ("closed-form start", ":"), "finish": ("solved again", "--")}
        known = {stage: history["stages"][stage] for stage in around if stage in history["stages"]}
        for stage, error in known.items():
            label, style = around[stage]
            ax.axhline(error, color=_INK, lw=0.9, ls=style, label=label)
        ax.set(xlabel="epoch", ylabel="error / % of the deformation density")
        ax.xaxis.set_major_locator(MaxNLocator("auto", integer=True, steps=[1, 2, 5, 10]))
        _logarithmic(ax, [*history["training"], *history["validation"], *known.values()], "y")
        ax.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=3, borderaxespad=0.0)
    return svg()


@contextmanager
def _figure(
    width: float = _SIZE[0], height: float = _SIZE[1]
) -> Iterator[tuple[Figure, Callable[[], str]]]:
    """An empty figure, and what gives its SVG when it is drawn."""
    with needs("matplotlib", "view", "reports"):
        import matplotlib
        from matplotlib.figure import Figure

    text: list[str] = []
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(width, height))
        yield figure, lambda: text[0]
        stream = io.StringIO()
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None}, dpi=130)
        text.append(_for_page(stream.getvalue()))


def _for_page(svg: str) -> str:
    """SVG to stand inside a page: without what files need, its colours those of the page."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    svg = re.sub(r' xmlns(:xlink)?="[^"]*"', "", svg, count=0)
    svg = svg.replace("xlink:href", "href")
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    svg = svg.replace(_INK, "currentColor")
    for name, colour in COLOURS.items():
        svg = svg.replace(colour, f"var(--{name})")
    return svg


def _points(ax: Axes, x: np.ndarray, y: np.ndarray, colour: str) -> None:
    many = len(x) > _VECTOR
    size, alpha = (8, 0.45) if many else (18, 0.65)
    ax.scatter(x, y, s=size, color=colour, alpha=alpha, lw=0, rasterized=many)


def _parity(ax: Axes, reference: np.ndarray, predicted: np.ndarray, colour: str) -> None:
    _points(ax, reference, predicted, colour)
    low, high = min(reference.min(), predicted.min()), max(reference.max(), predicted.max())
    room = 0.04 * (high - low) or 1.0
    ends = (low - room, high + room)
    ax.plot(ends, ends, color=_INK, lw=0.8, ls="--")
    ax.set(xlim=ends, ylim=ends, aspect="equal")


def _logarithmic(ax: Axes, values: Sequence[float], axis: str) -> None:
    """A logarithmic scale with plain numbers, where all values are positive and differ."""
    if not values or min(values) < _ZERO or max(values) < _NARROW * min(values):
        return
    ax.set(**{f"{axis}scale": "log"})
    _plain_numbers(ax, axis, few=max(values) / min(values) < 100)


def _plain_numbers(ax: Axes, axis: str, *, few: bool) -> None:
    """Ticks of a logarithmic scale: 1, 2, 5 of each power of ten, or powers alone."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    scale = getattr(ax, f"{axis}axis")
    scale.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if few else (1.0,), numticks=12))
    scale.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    scale.set_minor_formatter(NullFormatter())
