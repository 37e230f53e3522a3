"""Pieces of HTML that the page of an evaluation is made of."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from .verdict import number


class Share(float):
    """A percentage that is shaded by its value."""


def heading(text: str) -> str:
    """The title of a part of a section."""
    return f"<h3>{escape(text)}</h3>"


def figure(drawing: str, title: str, caption: str, *, wide: bool = False) -> str:
    """A drawing, or HTML with several, between title and caption."""
    kind = ' class="wide"' if wide else ""
    if drawing.startswith("<svg"):
        drawing = inline(drawing, title)
    return (
        f"<figure{kind}>{heading(title)}{drawing}<figcaption>{escape(caption)}</figcaption>"
        "</figure>"
    )


def inline(svg: str, title: str = "") -> str:
    """A drawing, read aloud by its title."""
    label = f'role="img" aria-label="{escape(title)}"' if title else 'aria-hidden="true"'
    return svg.replace("<svg", f"<svg {label}", 1)


def table(head: Sequence[str], rows: Sequence[Sequence[Any]], *, texts: int = 1) -> str:
    """A table that the page's script sorts by any column; the first ones are text."""
    titles = "".join(
        f'<th scope="col"><button type="button">{escape(title)}</button></th>' for title in head
    )
    body = "".join(f"<tr>{''.join(_cell(value) for value in row)}</tr>" for row in rows)
    return (
        f'<div class="scroll"><table class="texts{texts}"><thead><tr>{titles}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _cell(value: Any) -> str:
    if value is None:
        return "<td></td>"
    if isinstance(value, str):
        return f"<td>{escape(value)}</td>"
    if isinstance(value, Share):
        shade = f'class="shade" style="--share: {value / 100:.3f}"'
        return f'<td {shade} data-value="{float(value)!r}">{value:.1f}</td>'
    text = str(value) if isinstance(value, int) else number(value)
    return f'<td data-value="{value!r}">{text}</td>'
