"""Loading a model file and asking it for coefficients."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms
from metatensor.torch import Labels, TensorMap
from metatomic.torch import (
    AtomisticModel,
    ModelCapabilities,
    ModelEvaluationOptions,
    ModelOutput,
    load_atomistic_model,
    pick_device,
)

from ...basis import Basis, from_tensormap
from ...structures import check_atoms, total_charge
from ...torchscript import quiet_torchscript
from ..potential import Potential, evaluate_potential
from ..response import CoefficientResponse, coefficient_response
from ..systems import to_system
from ..uncertainty.alarm import Alarm
from ..uncertainty.predicted import PredictedUncertainty, per_atom
from ..wrapper import DEVIATIONS, ENERGY, ERRORS, EXTRAPOLATION, OUTPUT
from .card import ModelCard
from .export import BASIS_KEY, CARD_KEY
from .others import EXTENSIONS, anonymous_card, as_basis, coefficient_output
from .shipped import find_model, shipped_models

_DTYPES = {"float32": torch.float32, "float64": torch.float64}


class ModelFileError(ValueError):
    """A file that is no model, is damaged, or belongs to another version."""


class DensityModel:
    """A loaded model: structures in, coefficients of their densities out.

    Objects can be pickled (the file is loaded again) and used from several threads.

    Attributes
    ----------
    path : pathlib.Path
    basis : Basis
    card : ModelCard
    cutoff : float
        Radius in Angstrom within which an atom's surroundings matter.
    dtype : str
    device : torch.device
    output : str
        Name of the model's output that holds coefficients.
    given_basis : Basis or None
        What was given when the file was loaded.
    has_energy : bool
        Whether the model has an output ``energy``.
    """

    def __init__(
        self,
        path: Path,
        model: AtomisticModel,
        basis: Basis,
        card: ModelCard,
        device: torch.device,
        output: str = OUTPUT,
        given_basis: Basis | None = None,
    ) -> None:
        self.path = path
        self.basis = basis
        self.given_basis = given_basis
        self.card = card
        self.device = device
        self.output = output
        capabilities = model.capabilities()
        self.dtype: str = capabilities.dtype
        self.cutoff = float(capabilities.interaction_range)
        self.has_energy: bool = ENERGY in capabilities.outputs
        #: Whether the file says how uncertain its predictions are.
        self.knows_uncertainty = DEVIATIONS in capabilities.outputs and output == OUTPUT
        self._model = model
        self._neighbors = model.requested_neighbor_lists()

    def __repr__(self) -> str:
        return f"DensityModel({self.card.name!r}, {self.dtype}, {self.device})"

    def __reduce__(self) -> Any:
        output = self.output if self.is_foreign else None
        return _load_again, (self.path, str(self.device), self.dtype, self.given_basis, output)

    @property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that depend on weights, precision and basis alone."""
        digest = hashlib.sha256(self.basis.to_json().encode())
        for name, value in sorted(self._model.state_dict().items()):
            digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]

    @property
    def is_foreign(self) -> bool:
        """Whether another program made the file, see :mod:`ase_rholearn.model.files.others`."""
        return self.output != OUTPUT

    @property
    def metadata(self) -> dict[str, str]:
        """What the file says about itself, entries beyond those of metatomic."""
        return dict(self._model.metadata().extra)

    def state(self) -> dict[str, torch.Tensor]:
        """Weights and tables of what is inside, by name; for files of this package."""
        prefix = "module."
        state = self._model.state_dict()
        return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}

    def check(self, atoms: Atoms, *, argument: str = "atoms") -> None:
        """Raise a readable error if the model cannot predict this structure."""
        check_atoms(atoms, argument=argument)
        owner = f"{argument}: the model {self.card.name!r}"
        try:
            self.basis.check_species(atoms.numbers, owner=owner)
        except ValueError as error:
            shipped = ", ".join(shipped_models())
            raise ValueError(f"{error}; shipped models are {shipped}") from None
        charge = total_charge(atoms)
        if charge not in self.card.charges:
            raise ValueError(
                f"{argument} has charge {charge:+d}, the model {self.card.name!r} was trained on "
                f"charges {sorted(self.card.charges)}: remove the charge, or use another model"
            )

    def predict(
        self, structures: Sequence[Atoms], *, selected_atoms: Labels | None = None
    ) -> TensorMap:
        """Coefficients of one or more structures as a TensorMap, in e/bohr^1.5.

        Parameters
        ----------
        structures
            They are predicted together; the label ``system`` counts them.
        selected_atoms
            Predict only these atoms (names ``system`` and ``atom``).
        """
        return self._evaluate(structures, [self.output], selected_atoms)[self.output]

    def _evaluate(
        self, structures: Sequence[Atoms], outputs: Sequence[str], selected: Labels | None = None
    ) -> dict[str, TensorMap]:
        for index, atoms in enumerate(structures):
            argument = "atoms" if len(structures) == 1 else f"atoms[{index}]"
            self.check(atoms, argument=argument)
        dtype = _DTYPES[self.dtype]
        systems = [to_system(atoms, self._neighbors, dtype, self.device) for atoms in structures]
        options = ModelEvaluationOptions(
            length_unit="angstrom",
            outputs={name: ModelOutput(unit="", sample_kind="atom") for name in outputs},
            selected_atoms=selected,
        )
        # the profiling executor would spend half a second on the first two calls
        with torch.no_grad(), torch.jit.optimized_execution(False):  # type: ignore[attr-defined]
            return self._model(systems, options, check_consistency=False)

    def coefficients(self, structures: Sequence[Atoms]) -> list[np.ndarray]:
        """Flat vectors of one or more structures, in e/bohr^1.5."""
        tensor = self.predict(structures)
        return from_tensormap(self.basis, [atoms.numbers for atoms in structures], tensor)

    def potential(self, atoms: Atoms) -> Potential:
        """Energy, forces and stress of a structure, by one evaluation of the model.

        Raises
        ------
        ValueError
            The model has no output ``energy``, or does not know the structure's species.
        """
        if not self.has_energy:
            raise ValueError(
                f"the model {self.card.name!r} has no energies: train it with an `energy:` "
                "section, and export it again"
            )
        self.check(atoms)
        return evaluate_potential(
            self._model, self._neighbors, atoms, _DTYPES[self.dtype], self.device
        )

    def response(self, atoms: Atoms) -> CoefficientResponse:
        """Coefficients of a structure that can be differentiated by its positions."""
        self.check(atoms)
        return coefficient_response(
            self._model,
            self._neighbors,
            atoms,
            self.basis,
            self.output,
            _DTYPES[self.dtype],
            self.device,
        )

    def uncertainty(self, structures: Sequence[Atoms]) -> list[PredictedUncertainty]:
        """Errors to expect of one or more structures.

        Raises
        ------
        ValueError
            The model file does not say how uncertain it is (``knows_uncertainty`` is False).
        """
        self._check_uncertainty()
        found = self._evaluate(structures, [DEVIATIONS, ERRORS, EXTRAPOLATION])
        numbers = [atoms.numbers for atoms in structures]
        deviations = from_tensormap(self.basis, numbers, found[DEVIATIONS])
        errors = per_atom(found[ERRORS], structures)
        extrapolation = per_atom(found[EXTRAPOLATION], structures)
        return [
            PredictedUncertainty(error, ratio, deviation**2)
            for error, ratio, deviation in zip(errors, extrapolation, deviations, strict=True)
        ]

    def extrapolation(self, structures: Sequence[Atoms]) -> list[np.ndarray]:
        """How far each atom is from what the model was trained on, over the limit: (natoms,).

        See :class:`~ase_rholearn.model.PredictedUncertainty`; this part costs very little.
        """
        self._check_uncertainty()
        return per_atom(self._evaluate(structures, [EXTRAPOLATION])[EXTRAPOLATION], structures)

    def alarm(self, most: int | None = None) -> Alarm:
        """Something that warns of structures outside of what the model knows, if it says so."""
        return Alarm(self.extrapolation if self.knows_uncertainty else None, most)

    def _check_uncertainty(self) -> None:
        if not self.knows_uncertainty:
            raise ValueError(
                f"the model {self.card.name!r} does not say how uncertain it is: export it again "
                "from its run, with held-out structures (split.validation above 0)"
            )


def load_model(
    model: str | os.PathLike[str],
    device: str | torch.device | None = None,
    dtype: str | None = None,
    *,
    basis: Basis | str | os.PathLike[str] | None = None,
    output: str | None = None,
) -> DensityModel:
    """Load a model of this package, or another metatomic model that predicts coefficients.

    Parameters
    ----------
    model
        A shipped name such as ``"water-pbe"``, or the path of a model file.
    device
        ``"cpu"``, ``"cuda"``, ... Left out: the first of the model's devices that is here.
    dtype
        ``"float32"`` or ``"float64"``. Left out: what the file was exported with.
    basis
        For models of other programs: the basis of their coefficients, or a file of
        :meth:`Basis.to_json`. For models of this package whose radial functions are not known:
        the same basis with those functions.
    output
        Only for models of other programs: which output holds the coefficients, if it has
        several.

    Raises
    ------
    FileNotFoundError
        No such file and no such shipped model; the message lists those that there are.
    ModelFileError
        The file is no model, is truncated, or is of another version.
    """
    if dtype is not None and dtype not in _DTYPES:
        raise ValueError(f'dtype is {dtype!r}: give "float32" or "float64"')
    path = find_model(model)
    loaded = _read(path)
    own = BASIS_KEY in loaded.metadata().extra
    given = as_basis(basis)
    if own:
        known, card = _read_metadata(path, loaded)
        _refuse_arguments_of_others(path, None if not known.is_known else basis, output)
        if given is not None:
            known = known.with_functions(given.shells)
        output = OUTPUT
    else:
        if given is None:
            raise ModelFileError(
                f"{path} is a metatomic model with the outputs "
                f"{sorted(loaded.capabilities().outputs)}, not one of ase_rholearn: if one of "
                "them holds coefficients of a density, give basis=, the basis that they refer to"
            )
        known, output = given, coefficient_output(path, loaded, output)
        card = anonymous_card(path, loaded)
    capabilities = loaded.capabilities()
    chosen = _pick_device(device, capabilities.supported_devices)
    if dtype is not None and dtype != capabilities.dtype:
        loaded = _converted(loaded, dtype)
    return DensityModel(path, loaded.to(device=chosen), known, card, chosen, output, given)


def _load_again(
    path: Path, device: str, dtype: str, basis: Basis | None, output: str | None
) -> DensityModel:
    return load_model(path, device, dtype, basis=basis, output=output)


def _refuse_arguments_of_others(path: Path, basis: object, output: str | None) -> None:
    for name, value in (("basis", basis), ("output", output)):
        if value is not None:
            raise ValueError(f"{name} is given, but {path} knows its own: leave it out")


def _read(path: Path) -> AtomisticModel:
    if not zipfile.is_zipfile(path):
        raise ModelFileError(
            f"{path} is not a model file, or it is truncated: export it (or download it) again"
        )
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()  # torch does not look at the checksums
    if damaged is not None:
        raise ModelFileError(
            f"{path} is damaged ({damaged} inside it): export it (or download it) again"
        )
    extensions = path.parent / EXTENSIONS
    try:
        with quiet_torchscript():
            return load_atomistic_model(path, str(extensions) if extensions.is_dir() else None)
    except (RuntimeError, ValueError, KeyError) as error:
        if "extensions" in str(error):
            raise ModelFileError(
                f"{path} needs TorchScript extensions: put the folder {EXTENSIONS!r} that its "
                "program wrote (for metatrain, `mtt export`) beside it, or import the package that "
                f"has them first ({str(error).splitlines()[0]})"
            ) from error
        raise ModelFileError(
            f"{path} is not a model that metatomic can load, or it is damaged: export it "
            f"(or download it) again ({str(error).splitlines()[0]})"
        ) from error


def _read_metadata(path: Path, model: AtomisticModel) -> tuple[Basis, ModelCard]:
    extra = model.metadata().extra
    try:
        return Basis.from_json(extra[BASIS_KEY]), ModelCard.from_json(extra[CARD_KEY])
    except json.JSONDecodeError as error:
        raise ModelFileError(f"{path}: the description inside the file is damaged") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ModelFileError(f"{path}: {error}") from error


def _pick_device(device: str | torch.device | None, supported: list[str]) -> torch.device:
    if device is None:
        return torch.device(pick_device(supported, None))
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise ValueError(f"device is {device!r}: give one of {supported}") from error
    if chosen.type not in supported:
        raise ValueError(f"device is {str(device)!r}: this model supports {supported}")
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device is {str(device)!r}, but torch finds no CUDA device here")
    return chosen


def _converted(model: AtomisticModel, dtype: str) -> AtomisticModel:
    """The same model in another precision."""
    old = model.capabilities()
    capabilities = ModelCapabilities(
        outputs=old.outputs,
        atomic_types=old.atomic_types,
        interaction_range=old.interaction_range,
        length_unit=old.length_unit,
        supported_devices=old.supported_devices,
        dtype=dtype,
    )
    return AtomisticModel(model.module.to(_DTYPES[dtype]), model.metadata(), capabilities)
