"""Lower rooms never import upper ones, and importing the package stays light."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "ase_rholearn"

#: What each room may import besides itself (DESIGN.md, section 2). Helpers know no room.
HELPERS = {"bonds", "extras", "files", "structures", "torchscript", "structure_files"}
ALLOWED = {
    **{helper: set() for helper in HELPERS},
    "basis": HELPERS,
    "density": HELPERS | {"basis"},
    "model": HELPERS | {"basis", "density"},
    "references": HELPERS | {"basis", "density"},
    "aims": HELPERS | {"basis", "density", "references"},
    "scf": HELPERS | {"basis", "density", "references"},
    "trajectory": HELPERS | {"basis", "density", "model"},
    "calculator": HELPERS | {"basis", "density", "model", "scf", "trajectory"},
    "ase_plugin": HELPERS | {"calculator"},
    "training": HELPERS | {"basis", "density", "model", "references", "aims", "scf"},
    "__init__": HELPERS | {"basis", "density", "model", "calculator"},
}

#: ``Density.from_pyscf`` and starts named by a model are conveniences that reach up when called.
EXCEPTIONS = {("density/density.py", "references"), ("scf/guess.py", "calculator")}


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[str]:
    """Dotted names inside the package that a file imports anywhere, as ``room.module``."""
    package = list(path.relative_to(PACKAGE).parts[:-1])
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level:
            above = package[: len(package) - node.level + 1]
            module = [*above, *(node.module or "").split(".")]
            stem = ".".join(part for part in module if part)
            # from . import x: x may be a room
            names = [f"{PACKAGE.name}.{stem or alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
            if node.module == PACKAGE.name:
                names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            if name.split(".")[0] == PACKAGE.name:
                yield name.removeprefix(f"{PACKAGE.name}.")


FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=[str(p.relative_to(PACKAGE)) for p in FILES])
def test_rooms_import_only_lower_rooms(path: Path) -> None:
    room = room_of(path)
    if room == "cli":  # the front door may enter every room
        return
    assert room in ALLOWED, f"the new room {room} needs an entry in this test"
    for name in imports(path):
        target = name.split(".")[0]
        if target == room or (str(path.relative_to(PACKAGE)), target) in EXCEPTIONS:
            continue
        assert target in ALLOWED[room], f"{path} imports {name}"


def test_the_parser_sees_every_form_of_import() -> None:
    """The test above is worth nothing if it misses imports."""
    source = PACKAGE / "density" / "density.py"
    found = set(imports(source))
    assert {"basis", "structures", "density.files", "references.pyscf"} <= found
    nested = set(imports(PACKAGE / "references" / "pyscf" / "existing.py"))
    assert {"basis", "density", "references.reference"} <= nested


def test_only_the_command_imports_training() -> None:
    users = {
        room_of(path) for path in FILES if any(n.startswith("training") for n in imports(path))
    }
    assert users <= {"training", "cli"}


@pytest.mark.parametrize("module", ["ase_rholearn", "ase_rholearn.cli"])
def test_import_is_light(module: str) -> None:
    """What few need is imported where it is used: optional packages, and slow ones."""
    heavy = ["pyscf", "featomic", "lightning", "matplotlib", "pydantic", "yaml", "pandas"]
    heavy += ["h5py", "rdkit", "tblite", "distributed", "parsl", "executorlib"]
    script = f"import sys, {module}; print(*[m for m in {heavy} if m in sys.modules])"
    finished = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        capture_output=True,
        text=True,
        check=False,
        cwd=PACKAGE.parent,
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.split() == []
    assert finished.stderr == ""
