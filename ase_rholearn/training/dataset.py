"""A data set on disk: one folder, one file a reference.

    folder/dataset.json          basis and settings that all references share
    folder/references/<id>.npz   see ase_rholearn.references.Reference
    folder/failures.jsonl        structures that gave no reference, with the reason

The id of a reference is made from its structure and settings, so that nothing is there
twice, and a job that is started again finds what is done.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from ..basis import Basis
from ..files import atomic_write
from ..references import Reference, reference_id, settings_with_basis

_SCHEMA_VERSION = 1


class DataSet:
    """References that share a basis and a level of theory.

    Attributes
    ----------
    folder : pathlib.Path
    basis : Basis
    settings : dict
        As in each :class:`~ase_rholearn.references.Reference`, with the basis's fingerprint.
    """

    def __init__(self, folder: Path, basis: Basis, settings: Mapping[str, Any]) -> None:
        self.folder = folder
        self.basis = basis
        self.settings = dict(settings)

    @classmethod
    def create(
        cls, folder: str | os.PathLike[str], basis: Basis, settings: Mapping[str, Any]
    ) -> DataSet:
        """A new data set, or the one that is in the folder if basis and settings are the same.

        Raises
        ------
        ValueError
            The folder holds a data set of another basis or other settings.
        """
        folder = Path(folder)
        complete = settings_with_basis(settings, basis)
        if (folder / "dataset.json").exists():
            existing = cls.open(folder)
            if existing.settings != complete:
                changed = sorted(
                    key
                    for key in {*existing.settings, *complete}
                    if existing.settings.get(key) != complete.get(key)
                )
                raise ValueError(
                    f"{folder} holds a data set with other settings ({', '.join(changed)}): "
                    "choose another folder, or remove it"
                )
            return existing
        (folder / "references").mkdir(parents=True, exist_ok=True)
        header = {"schema": _SCHEMA_VERSION, "settings": complete, "basis": basis.to_dict()}
        with atomic_write(folder / "dataset.json", "w") as stream:
            json.dump(header, stream, indent=1)
        return cls(folder, basis, complete)

    @classmethod
    def open(cls, folder: str | os.PathLike[str]) -> DataSet:
        """An existing data set.

        Raises
        ------
        FileNotFoundError, ValueError
            There is none in the folder, or its description is damaged.
        """
        folder = Path(folder)
        path = folder / "dataset.json"
        if not path.exists():
            raise FileNotFoundError(
                f"{folder} holds no data set (dataset.json is missing): generate one first"
            )
        try:
            header = json.loads(path.read_text())
            schema = header["schema"]
            if schema == _SCHEMA_VERSION:
                return cls(folder, Basis.from_dict(header["basis"]), header["settings"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{path} is damaged ({type(error).__name__}: {error}): generate the data set again"
            ) from error
        raise ValueError(
            f"{path} has schema {schema!r}, this version reads {_SCHEMA_VERSION}: "
            "update ase_rholearn, or generate the data set again"
        )

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def ids(self) -> list[str]:
        """Names of the references, sorted."""
        return sorted(path.stem for path in (self.folder / "references").glob("*.npz"))

    def path(self, name: str) -> Path:
        """The file of a reference."""
        return self.folder / "references" / f"{name}.npz"

    def id_of(self, atoms: Atoms) -> str:
        """The id that a structure has (or would have) in this data set."""
        return reference_id(atoms, self.settings)

    def load(self, name: str) -> Reference:
        """One reference, checked against settings and basis."""
        reference = Reference.load(self.path(name))
        if dict(reference.settings) != self.settings:
            raise ValueError(
                f"{self.path(name)} was made with other settings or another basis than the data "
                "set: remove it"
            )
        self.basis.check_coefficients(
            reference.atoms.numbers, reference.coefficients, argument=str(self.path(name))
        )
        return reference

    def __iter__(self) -> Iterator[Reference]:
        return (self.load(name) for name in self.ids)

    def add(self, reference: Reference) -> None:
        """Store a reference; one that has not converged is refused."""
        if reference.converged is not True:
            raise ValueError(
                f"the reference of {reference.atoms.get_chemical_formula()} is not known to have "
                "converged: only converged ones enter a data set; give converged=True if you know "
                "that it had"
            )
        if dict(reference.settings) != self.settings:
            raise ValueError(
                f"the reference of {reference.atoms.get_chemical_formula()} was made with other "
                "settings or another basis than the data set: refit it, or use another data set"
            )
        self.basis.check_coefficients(reference.atoms.numbers, reference.coefficients)
        reference.save(self.path(reference.id))

    def report_failure(self, atoms: Atoms, reason: str) -> None:
        """Note a structure that gave no reference."""
        entry = {
            "id": self.id_of(atoms),
            "formula": atoms.get_chemical_formula(),
            "reason": reason,
        }
        with (self.folder / "failures.jsonl").open("a") as stream:
            stream.write(json.dumps(entry) + "\n")


def split_ids(
    ids: Sequence[str], validation: float, test: float, seed: int
) -> dict[str, list[str]]:
    """Names of the training, validation and test part, drawn at random.

    The draw depends on the names and the seed alone, not on their order.

    >>> parts = split_ids([f"{i:02d}" for i in range(10)], 0.2, 0.2, seed=0)
    >>> {name: len(part) for name, part in parts.items()}
    {'training': 6, 'validation': 2, 'test': 2}
    """
    ordered = sorted(ids)
    shuffled = [ordered[i] for i in np.random.default_rng(seed).permutation(len(ordered))]
    n_validation, n_test = round(validation * len(ids)), round(test * len(ids))
    n_training = len(ids) - n_validation - n_test
    if n_training < 1 or (validation > 0 and n_validation < 1):
        raise ValueError(
            f"{len(ids)} structures are too few for validation = {validation} and test = {test}"
        )
    return {
        "training": shuffled[:n_training],
        "validation": shuffled[n_training : n_training + n_validation],
        "test": shuffled[n_training + n_validation :],
    }
