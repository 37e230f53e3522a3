"""What is in a data set."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from ase.data import chemical_symbols

from .dataset import DataSet, flatten
from .shard import Record

#: Reasons of failures that are listed.
_REASONS = 5


def info(
    folder: str | os.PathLike[str], *, on_progress: Callable[[], None] | None = None
) -> dict[str, Any]:
    """Contents of the data set in a folder as plain data; see :func:`info_lines` for people.

    Parameters
    ----------
    folder
        The data set. Checksums are not compared: see
        :func:`~ase_rholearn.training.data.check`.
    on_progress
        Called after each reference.
    """
    dataset = DataSet.open(folder)
    count = _Count()
    for _, record in dataset.records(verify=False):
        count.add(record)
        if on_progress:
            on_progress()
    files = [path for path in dataset.folder.rglob("*") if path.is_file()]
    failures = dataset.failures()
    reasons = Counter(entry["reason"] for entry in failures.values()).most_common(_REASONS)
    return {
        "folder": str(dataset.folder),
        **count.result(),
        "basis": {
            "name": dataset.basis.name,
            "kind": dataset.basis.kind,
            "deformation": bool(dataset.basis.atomic_densities),
            "known": dataset.basis.is_known,
            "functions": {chemical_symbols[z]: n for z, n in dataset.basis.sizes.items()},
        },
        "settings": {key: value for key, value in dataset.settings.items() if key != "basis"},
        "bytes": sum(path.stat().st_size for path in files),
        "shards": len(dataset.shards),
        "unpacked": len(dataset.unpacked),
        "failures": len(failures),
        "failure_reasons": dict(reasons),
    }


def info_lines(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The same as pairs of a title and a text."""

    def listed(counts: dict[str, int]) -> str:
        return ", ".join(f"{name} {count}" for name, count in counts.items()) or "none"

    basis, sizes = found["basis"], found["sizes"]
    yield "data set", found["folder"]
    yield "structures", f"{found['structures']} ({found['periodic']} periodic)"
    yield "atoms", f"{found['atoms']}: {listed(found['elements'])}"
    if sizes:
        yield "sizes", f"{sizes['min']} to {sizes['max']} atoms, mean {sizes['mean']:.1f}"
    yield "charges", ", ".join(f"{q}: {n}" for q, n in found["charges"].items()) or "none"
    yield "quantities", listed(found["quantities"])
    title = "fit"
    for name, figure in found["fit"].items():
        yield title, f"{name}: mean {figure['mean']:.3g}, largest size {figure['largest']:.3g}"
        title = ""
    learned = "deformation density" if basis["deformation"] else "whole density"
    if not basis["known"]:
        learned += ", radial functions not known"
    yield "basis", f"{basis['name'] or 'unnamed'} ({basis['kind']}, {learned})"
    yield "functions", listed(basis["functions"])
    title = "level of theory"
    for key, value in flatten(found["settings"]):
        yield title, f"{key} = {json.dumps(value)}"
        title = ""
    yield (
        "on disk",
        (
            f"{found['bytes'] / 1e6:.3g} MB in {found['shards']} shards and "
            f"{found['unpacked']} references that are not packed"
        ),
    )
    yield "failures", str(found["failures"])
    for reason, count in found["failure_reasons"].items():
        yield "", f"{count} times: {' '.join(reason.split())}"


class _Count:
    """Running totals over records."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.periodic = 0
        self.elements = np.zeros(len(chemical_symbols), int)
        self.charges: Counter[int] = Counter()
        self.quantities: Counter[str] = Counter()
        self.fits: dict[str, list[float]] = {}

    def add(self, record: Record) -> None:
        numbers = record["numbers"]
        self.sizes.append(len(numbers))
        self.periodic += bool(record["pbc"].any())
        self.elements += np.bincount(numbers, minlength=len(self.elements))
        notes = json.loads(record["notes"].tobytes())
        self.charges[int(notes["info"].get("charge", 0))] += 1
        for name, figure in notes["fit"].items():
            self.fits.setdefault(name, []).append(float(figure))
        self.quantities["coefficients"] += 1
        self.quantities["energy"] += not np.isnan(record["energy"])
        self.quantities["dipole"] += not np.isnan(record["dipole"]).any()
        for name in ("forces", "projections", "occupied_orbitals", "overlap"):
            self.quantities[name] += len(record[name]) > 0

    def result(self) -> dict[str, Any]:
        sizes = self.sizes
        return {
            "structures": len(sizes),
            "periodic": self.periodic,
            "atoms": sum(sizes),
            "elements": {chemical_symbols[z]: int(n) for z, n in enumerate(self.elements) if n},
            "sizes": {"min": min(sizes), "mean": float(np.mean(sizes)), "max": max(sizes)}
            if sizes
            else {},
            "charges": {str(charge): self.charges[charge] for charge in sorted(self.charges)},
            "quantities": {name: count for name, count in self.quantities.items() if count},
            "fit": {
                name: {"mean": float(np.mean(values)), "largest": float(np.abs(values).max())}
                for name, values in self.fits.items()
            },
        }
