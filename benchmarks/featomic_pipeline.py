"""The same linear model written with featomic-torch: the definition of the features.

``FeatomicPipeline`` takes its weights from a native network without gates, so that both
predict the same coefficients. Tests compare their values, ``speed.py`` their speed.
"""

from typing import Dict, List, Optional

import torch
from metatensor.torch import Labels, TensorBlock, TensorMap
from metatomic.torch import (
    AtomisticModel,
    ModelCapabilities,
    ModelMetadata,
    ModelOutput,
    System,
    systems_to_torch,
)

from ase_rholearn.basis import Basis, block_keys
from ase_rholearn.model import OUTPUT, DensityNetwork, NeighborDensity
from ase_rholearn.torchscript import quiet_torchscript

with quiet_torchscript():  # it compiles functions when it is imported
    from featomic.torch import SphericalExpansion
    from featomic.torch.clebsch_gordan import EquivariantPowerSpectrum


class FeatomicPipeline(torch.nn.Module):
    """Spherical expansion, equivariant power spectrum, one linear layer per key."""

    def __init__(self, density: NeighborDensity, basis: Basis, network: DensityNetwork):
        super().__init__()
        self.power_spectrum = EquivariantPowerSpectrum(
            SphericalExpansion(**density.featomic_hypers()),
            neighbor_types=list(basis.species),
            dtype=torch.float64,
        )
        keys = block_keys(basis)
        self.keys = Labels(
            ["o3_lambda", "o3_sigma", "center_type"], torch.tensor([[l, 1, z] for l, z in keys])
        )
        self.output = OUTPUT
        metadata = self.power_spectrum.compute_metadata(
            _dummy(basis), selected_keys=self.keys, neighbors_to_properties=True
        )
        self.linear = torch.nn.ModuleList()
        for index, (l, z) in enumerate(keys):
            properties = metadata.block(self.keys.entry(index)).properties
            weight = flat_weight(network, basis, l, z, properties)
            layer = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False)
            layer.weight = torch.nn.Parameter(weight)
            self.linear.append(layer)

    def forward(
        self,
        systems: List[System],
        outputs: Dict[str, ModelOutput],
        selected_atoms: Optional[Labels],
    ) -> Dict[str, TensorMap]:
        result: Dict[str, TensorMap] = {}
        if self.output in outputs:
            features = self.power_spectrum(
                systems,
                selected_keys=self.keys,
                selected_samples=selected_atoms,
                neighbors_to_properties=True,
            )
            blocks: List[TensorBlock] = []
            present: List[int] = []
            for index, layer in enumerate(self.linear):
                key = self.keys.entry(index)
                if features.keys.position(key) is not None:  # species that are here
                    present.append(index)
                    block = features.block(key)
                    values = layer(block.values)
                    properties = Labels(["n"], torch.arange(values.shape[2]).reshape(-1, 1))
                    blocks.append(TensorBlock(values, block.samples, block.components, properties))
            result[self.output] = TensorMap(
                Labels(self.keys.names, self.keys.values[present]), blocks
            )
        return result


def exported(pipeline: FeatomicPipeline, basis: Basis, cutoff: float) -> AtomisticModel:
    """The pipeline as a metatomic model."""
    capabilities = ModelCapabilities(
        outputs={OUTPUT: ModelOutput(unit="", sample_kind="atom")},
        atomic_types=list(basis.species),
        interaction_range=cutoff,
        length_unit="angstrom",
        supported_devices=["cpu"],
        dtype="float64",
    )
    return AtomisticModel(pipeline.eval(), ModelMetadata(name="featomic"), capabilities)


def _dummy(basis: Basis):
    """A structure in which every species has every species as a neighbour."""
    import ase

    n = len(basis.species)
    numbers = list(basis.species) * 2
    atoms = ase.Atoms(numbers, positions=[[0.7 * i, 0.3 * (i % 3), 0.0] for i in range(2 * n)])
    return systems_to_torch(atoms).to(torch.float64)


def flat_weight(
    network: DensityNetwork, basis: Basis, l: int, z: int, properties: Labels
) -> torch.Tensor:
    """Weights of one block in featomic's order of features: (n_out, n_features)."""
    species = network.species[basis.species.index(z)]
    head = species.readouts[l]
    n_radial = network.expansion.n_radial
    tensors = {(path.l1, path.l2): path.weight @ head.transform for path in head.product.paths}
    columns = []
    for l1, l2, type1, n1, type2, n2 in properties.values.tolist():
        q1 = basis.species.index(type1) * n_radial + n1
        q2 = basis.species.index(type2) * n_radial + n2
        columns.append(tensors[(l1, l2)][q1, q2])
    return torch.stack(columns, dim=1).detach()
