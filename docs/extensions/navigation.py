"""The navigation of the site is that of ``index.md``, which a git host shows as it is.

Each heading of that page is a group, each list item that begins with a link an entry of it.
Pages that no list names come last, so that a new one is never lost. The page of changes shows
``CHANGELOG.md``, which has its place at the top of the repository.
"""

from __future__ import annotations

import re
from pathlib import Path

from sphinx.application import Sphinx

GROUP = re.compile(r"^## (.+)$", re.MULTILINE)
ENTRY = re.compile(r"^- \[[^]]+\]\(([\w/-]+)\.md\)", re.MULTILINE)


def groups(text: str) -> dict[str, list[str]]:
    """Names of the pages that ``index.md`` lists, under each of its headings."""
    _, *parts = GROUP.split(text)
    return {
        name.strip(): ENTRY.findall(body)
        for name, body in zip(parts[::2], parts[1::2], strict=True)
    }


def pages(folder: Path) -> set[str]:
    """Names of all pages that are written by hand, but for the index."""
    found = {path.relative_to(folder).with_suffix("") for path in folder.rglob("*.md")}
    return {path.as_posix() for path in found} - {"index"}


def toctree(entries: list[str], caption: str = "") -> str:
    """A hidden list of pages, which Sphinx makes the navigation of."""
    lines = [":hidden:", *([f":caption: {caption}"] if caption else []), "", *entries]
    return "\n".join(["", "```{toctree}", *lines, "```", ""])


def add_navigation(app: Sphinx, docname: str, source: list[str]) -> None:
    """Turn the lists of the index into Sphinx's navigation, and show the changes."""
    if docname == "changes":
        path = Path(app.srcdir).parent / "CHANGELOG.md"
        app.env.note_dependency(str(path))
        source[0] = path.read_text(encoding="utf-8")
    if docname != "index":
        return
    found = groups(source[0])
    listed = {page for group in found.values() for page in group}
    found["Further pages"] = sorted(pages(Path(app.srcdir)) - listed)
    source[0] += "".join(toctree(entries, name) for name, entries in found.items() if entries)


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("source-read", add_navigation)
    return {"parallel_read_safe": True}
