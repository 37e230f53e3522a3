"""Models that this package did not make: coefficients of an output of any metatomic model.

Such a file has no basis and no card of ours. Its coefficients have to be per atom, in
e/bohr^1.5, with the keys (o3_lambda, o3_sigma, center_type or atom_type); metatrain trains such
models on data sets that ``ase-rholearn data export`` wrote. Compiled extensions are looked for in
the folder ``extensions`` beside the file.
"""

from __future__ import annotations

import os
from pathlib import Path

from metatomic.torch import AtomisticModel

from ...basis import Basis
from .card import ModelCard

#: Folder beside a model file with the compiled code that it may need.
EXTENSIONS = "extensions"

#: How names begin of metatomic's own outputs, and of what metatrain adds to outputs: none of
#: them are coefficients.
_OTHER = (
    *("energy", "feature", "non_conservative_", "position", "moment", "velocit", "charge"),
    *("heat_flux", "mtt::aux::"),
)


def coefficient_output(path: Path, model: AtomisticModel, wanted: str | None) -> str:
    """Name of the output that holds the coefficients.

    Parameters
    ----------
    path
        For messages.
    model
        The loaded model.
    wanted
        Its name, if the user gave it.

    Raises
    ------
    ValueError
        There is no such output, or it is not clear which it is.
    """
    outputs = sorted(model.capabilities().outputs)
    if wanted is not None:
        if wanted not in outputs:
            raise ValueError(f"output is {wanted!r}: {path} has {', '.join(outputs)}")
        return wanted
    candidates = [name for name in outputs if not name.startswith(_OTHER)]
    if len(candidates) != 1:
        raise ValueError(
            f"{path} has the outputs {', '.join(outputs) or 'none'}: give output=, the one that "
            "holds coefficients of a density"
        )
    return candidates[0]


def anonymous_card(path: Path, model: AtomisticModel) -> ModelCard:
    """What the file says about itself in metatomic's own metadata."""
    metadata = model.metadata()
    references = metadata.references.get("model", [])
    return ModelCard(
        name=metadata.name or path.stem,
        description=metadata.description,
        citation="; ".join(references),
    )


def as_basis(basis: Basis | str | os.PathLike[str] | None) -> Basis | None:
    """A basis, from JSON or a file of it."""
    if basis is None or isinstance(basis, Basis):
        return basis
    if isinstance(basis, str) and basis.lstrip().startswith("{"):
        return Basis.from_json(basis)
    path = Path(basis)
    if not path.is_file():
        raise FileNotFoundError(f"basis is {os.fspath(basis)!r}: there is no such file")
    return Basis.from_json(path.read_text())
