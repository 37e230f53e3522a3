"""Model files: TorchScript that carries its basis and its card."""

from __future__ import annotations

import copy
import datetime
import json
import os
import platform
from typing import Literal

import metatomic.torch
import torch
from metatomic.torch import AtomisticModel, ModelCapabilities, ModelMetadata, ModelOutput

from ...basis import Basis
from ...files import temporary_sibling
from ...torchscript import quiet_torchscript
from ..energy import EnergyHead
from ..network import DensityNetwork
from ..uncertainty import Uncertainty
from ..wrapper import DEVIATIONS, ENERGY, ERRORS, EXTRAPOLATION, OUTPUT, CoefficientModel
from .card import ModelCard

#: Where basis, card and architecture are in the metadata of the file.
BASIS_KEY, CARD_KEY = "ase_rholearn:basis", "ase_rholearn:card"
NETWORK_KEY = "ase_rholearn:network"


def export_model(
    network: DensityNetwork,
    basis: Basis,
    card: ModelCard,
    path: str | os.PathLike[str],
    *,
    dtype: Literal["float32", "float64"] = "float32",
    energy: EnergyHead | None = None,
    uncertainty: Uncertainty | None = None,
) -> None:
    """Write a network as a metatomic model that runs without this package.

    Parameters
    ----------
    network
        A trained network; it is not changed.
    basis
        The basis that its output refers to.
    card
        Description that goes into the file.
    path
        The file, usually ``*.pt``; it appears complete or not at all.
    dtype
        Precision of weights and output.
    energy
        Trained energies, which become metatomic's standard output ``energy``.
    uncertainty
        What the model knows about its errors, see :mod:`ase_rholearn.model.uncertainty`.
    """
    if dtype not in ("float32", "float64"):
        raise ValueError(f'dtype is {dtype!r}: give "float32" or "float64"')
    module = CoefficientModel(network, basis, energy, uncertainty).eval()
    with quiet_torchscript():
        converted = copy.deepcopy(module).to(getattr(torch, dtype))
        model = AtomisticModel(
            converted, _metadata(network, basis, card), _capabilities(module, basis, dtype)
        )
        with temporary_sibling(path) as temporary:
            _save(model, str(temporary))


def _metadata(network: DensityNetwork, basis: Basis, card: ModelCard) -> ModelMetadata:
    return ModelMetadata(
        name=card.name,
        description=card.description,
        references={"model": [card.citation] if card.citation else []},
        extra={
            BASIS_KEY: basis.to_json(),
            CARD_KEY: card.to_json(),
            NETWORK_KEY: json.dumps(network.options.to_dict()),
        },
    )


def _capabilities(module: CoefficientModel, basis: Basis, dtype: str) -> ModelCapabilities:
    names = [OUTPUT]
    if module.uncertainty is not None:
        names += [DEVIATIONS, ERRORS, EXTRAPOLATION]
    outputs = {name: ModelOutput(unit="", sample_kind="atom") for name in names}
    if module.energy is not None:
        outputs[ENERGY] = ModelOutput(unit="eV", sample_kind="atom")
    return ModelCapabilities(
        outputs=outputs,
        atomic_types=list(basis.species),
        interaction_range=module.network.range,
        length_unit="angstrom",
        supported_devices=["cuda", "mps", "cpu"] if dtype == "float32" else ["cuda", "cpu"],
        dtype=dtype,
    )


def _save(model: AtomisticModel, path: str) -> None:
    """What ``AtomisticModel.save`` does, without a list of extensions.

    That list would name every torch library that this process has loaded, although the model
    needs none, and each would cause a warning where it is missing.
    """
    scripted = torch.jit.script(model.eval())
    export = {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(),
        "platform": f"{platform.machine()}-{platform.system()}",
    }
    torch.jit.save(
        scripted.to("cpu"),
        path,
        _extra_files={
            "torch-version": torch.__version__,
            "metatomic-version": metatomic.torch.__version__,
            "extensions": "[]",
            "extensions-deps": "[]",
            "export-metadata": json.dumps(export),
            "model-metadata": scripted.metadata().__getstate__()[0],
        },
    )
