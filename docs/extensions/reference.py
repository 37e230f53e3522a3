"""One page for each room of the package that has public names, made from their docstrings.

The pages are written into ``api/``, which git ignores. A name is described once, in the
highest room that has it; lower rooms have a link there.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, UnionType
from typing import get_args

from navigation import toctree
from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer

import ase_rholearn


@dataclass(frozen=True)
class Room:
    """A package with its public names, and where each of them is described."""

    module: ModuleType
    described: dict[str, str]  # name: full name of its description

    @property
    def name(self) -> str:
        """Such as ase_rholearn.density."""
        return self.module.__name__

    def page(self) -> str:
        """In reStructuredText: what the room is for, a table of its names, and each of them."""
        own = [name for name, full in self.described.items() if full == f"{self.name}.{name}"]
        tabled = [name for name in self.described if callable(getattr(self.module, name))]
        table = [name if name in own else f"~{self.described[name]}" for name in tabled]
        title = self.name.removeprefix("ase_rholearn.")
        lines = [title, "=" * len(title), "", f".. automodule:: {self.name}", ""]
        lines += [".. autosummary::", "", *(f"   {entry}" for entry in table), ""]
        for name in own:
            lines += self.entry(name)
        return "\n".join([*lines, ""])

    def entry(self, name: str) -> list[str]:
        """Directive that describes one name."""
        found = getattr(self.module, name)
        options = []
        if inspect.isclass(found):
            kind = "exception" if issubclass(found, BaseException) else "class"
            options = ["   :members:"] if kind == "class" else []
        elif inspect.isfunction(found):
            kind = "function"
        else:
            comment = [f"   {line}".rstrip() for line in constant_comment(self.module, name)]
            return [f".. py:data:: {self.name}.{name}", "", *comment, ""]
        return [f".. auto{kind}:: {self.name}.{name}", *options, ""]


def constant_comment(module: ModuleType, name: str) -> list[str]:
    """What a constant is: the kinds of a union, or the comment ``#:`` where it is defined."""
    found = getattr(module, name)
    if isinstance(found, UnionType):
        return [
            " or ".join(f":class:`~{kind.__module__}.{kind.__name__}`" for kind in get_args(found))
        ]
    modules = pkgutil.walk_packages(module.__path__, f"{module.__name__}.")
    for place in [module.__name__, *(info.name for info in modules)]:
        comments = ModuleAnalyzer.for_module(place).find_attr_docs()
        if ("", name) in comments:
            return comments["", name]
    raise ValueError(f"{module.__name__}.{name} has no comment #: where it is defined")


def rooms() -> list[Room]:
    """All packages with public names, upper ones first among those that share a name."""
    infos = pkgutil.walk_packages(ase_rholearn.__path__, "ase_rholearn.")
    names = ["ase_rholearn", *(info.name for info in infos if info.ispkg)]
    modules = [importlib.import_module(name) for name in names]
    public = [module for module in modules if getattr(module, "__all__", None)]
    first: dict[int, str] = {}
    for module in sorted(public, key=lambda module: module.__name__.count(".")):
        for name in module.__all__:
            first.setdefault(id(getattr(module, name)), f"{module.__name__}.{name}")
    return [
        Room(module, {name: first[id(getattr(module, name))] for name in module.__all__})
        for module in public
    ]


def write_pages(app: Sphinx) -> None:
    """Write the page of each room that has changed, and remove those of rooms that are gone."""
    folder = Path(app.srcdir) / "api"
    folder.mkdir(exist_ok=True)
    wanted = {folder / f"{room.name}.rst": room.page() for room in rooms()}
    for path in set(folder.glob("*.rst")) - set(wanted):
        path.unlink()
    for path, text in wanted.items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def list_rooms(app: Sphinx, docname: str, source: list[str]) -> None:
    """Put the pages of the rooms below the page ``api.md``."""
    if docname == "api":
        source[0] += toctree([f"api/{room.name}" for room in rooms()])


def readable_signature(
    app: Sphinx, what: str, name: str, found: object, options: object, signature: str, result: str
) -> tuple[str, str]:
    """Show defaults that a dataclass makes anew each time as ``...``, which Sphinx can parse."""
    return (signature or "").replace("<factory>", "...") or signature, result


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("builder-inited", write_pages)
    app.connect("source-read", list_rooms)
    app.connect("autodoc-process-signature", readable_signature)
    return {"parallel_read_safe": True}
