"""The documentation as a site: no warning when it is built, and no link that leads nowhere."""

from __future__ import annotations

import ast
import importlib
import os
import pkgutil
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import ase_rholearn

ROOT = Path(__file__).parents[2]


class Page(HTMLParser):
    """Targets and names of anchors of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.anchors: set[str] = {""}
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" and value:
                self.anchors.add(value)
            elif name in ("href", "src") and value and tag != "link":
                self.links.add(value)


def broken_links(folder: Path) -> list[str]:
    """Links of all pages of a folder to files or anchors that are not there."""
    pages = {path: Page(path) for path in folder.rglob("*.html")}
    broken = []
    for path, page in pages.items():
        for link in sorted(page.links):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            anchors = pages[target].anchors if target in pages else {parts.fragment}
            if not target.exists() or unquote(parts.fragment) not in anchors:
                broken.append(f"{path.relative_to(folder)}: {link}")
    return broken


@pytest.mark.slow
def test_site(tmp_path: Path) -> None:
    for need in ("sphinx", "myst_parser", "furo"):
        pytest.importorskip(need)
    site = tmp_path / "site"
    options = ["-W", "--keep-going", "-q", "-d", str(tmp_path / "trees")]
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *options, "docs", str(site)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert broken_links(site) == []
    # every public name of every room is described
    described = set().union(*(Page(path).anchors for path in (site / "api").glob("*.html")))
    bare = {anchor.rpartition(".")[2] for anchor in described}
    assert set(public_names()) <= bare


def public_names() -> list[str]:
    """Names that rooms export."""
    infos = pkgutil.walk_packages(ase_rholearn.__path__, "ase_rholearn.")
    rooms = [importlib.import_module(info.name) for info in infos if info.ispkg]
    return [name for room in rooms for name in getattr(room, "__all__", [])]


def test_links_that_lead_nowhere_are_found(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(
        '<h1 id="x"></h1><a href="#x"></a><a href="b.html#y"></a><a href="c.html"></a>'
        '<a href="https://example.org"></a><img src="no.png">'
    )
    (tmp_path / "b.html").write_text('<p id="z"></p><a href="a.html#x"></a>')
    found = broken_links(tmp_path)
    assert found == ["a.html: b.html#y", "a.html: c.html", "a.html: no.png"]


def test_examples_of_docstrings_have_a_heading() -> None:
    """Otherwise the site shows them as parameters."""
    wrong = []
    for path in (ROOT / "ase_rholearn").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module):
                before, example, _ = (ast.get_docstring(node) or "").partition("\n>>>")
                headings = re.findall(r"^(\w+)\n---+$", before, re.MULTILINE)
                if example and headings and headings[-1] != "Examples":
                    wrong.append(f"{path.name}: {getattr(node, 'name', 'module')}")
    assert wrong == []
