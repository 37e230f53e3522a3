"""The network core behind metatomic's interface: systems in, TensorMap out."""

# no "from __future__ import annotations": TorchScript reads the annotations of this module

from typing import Dict, List, Optional, Tuple

import torch
from metatensor.torch import Labels, TensorBlock, TensorMap
from metatomic.torch import ModelOutput, NeighborListOptions, System

from ..basis import Basis, block_keys
from .energy import EnergyHead
from .network import DensityNetwork
from .uncertainty import Uncertainty

#: Name of the output of every model of this package.
OUTPUT = "rholearn::coefficients"

#: metatomic's standard name of energies, which molecular dynamics codes ask for.
ENERGY = "energy"
#: Outputs of models that know their uncertainty: standard deviations of the coefficients of the
#: orthonormal radial functions (e/bohr^1.5), the error of the density around each atom
#: (electrons), and its distance to known surroundings over the limit.
DEVIATIONS = "rholearn::coefficients_uncertainty"
ERRORS = "rholearn::density_uncertainty"
EXTRAPOLATION = "rholearn::extrapolation"


class CoefficientModel(torch.nn.Module):
    """Coefficients of the density, and energies, as metatomic outputs.

    Parameters
    ----------
    network
        The core; its species are in the order of ``basis.species``.
    basis
        The auxiliary basis of the output.
    energy
        Energies from the network's expansion, if the model has them; forces and stress follow
        by differentiating them.
    uncertainty
        What the model knows about its errors; left out: nothing.
    """

    species_index: torch.Tensor
    mean_atoms: torch.Tensor

    def __init__(
        self,
        network: DensityNetwork,
        basis: Basis,
        energy: Optional[EnergyHead] = None,
        uncertainty: Optional[Uncertainty] = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.energy = energy
        self.uncertainty = uncertainty
        self.output = OUTPUT
        self.energy_output = ENERGY
        self.deviations, self.errors, self.extrapolation = DEVIATIONS, ERRORS, EXTRAPOLATION
        self.n_species = len(basis.species)
        self.has_messages = network.n_messages > 0
        cutoff = network.cutoff
        self.neighbors = NeighborListOptions(cutoff=cutoff, full_list=True, strict=True)
        index = torch.full((max(basis.species) + 1,), -1, dtype=torch.long)
        index[list(basis.species)] = torch.arange(self.n_species)
        self.register_buffer("species_index", index)
        self.has_mean_atoms = len(basis.mean_atoms) > 0
        self.register_buffer("mean_atoms", mean_atoms(basis))
        keys = block_keys(basis)
        #: (lambda, species index) of every block
        self.blocks: List[List[int]] = [[l, basis.species.index(z)] for l, z in keys]
        self.keys = Labels(
            ["o3_lambda", "o3_sigma", "center_type"], torch.tensor([[l, 1, z] for l, z in keys])
        )
        self.species_keys = Labels(
            ["center_type"], torch.tensor([[z] for z in basis.species], dtype=torch.int32)
        )

    @torch.jit.export
    def requested_neighbor_lists(self) -> List[NeighborListOptions]:
        """All pairs within the cutoff, in both directions."""
        return [self.neighbors]

    def forward(
        self,
        systems: List[System],
        outputs: Dict[str, ModelOutput],
        selected_atoms: Optional[Labels],
    ) -> Dict[str, TensorMap]:
        """Evaluate the model; see :class:`metatomic.torch.ModelInterface`."""
        result: Dict[str, TensorMap] = {}
        if len(systems) == 0:
            return result
        types, samples, pairs, vectors = joined(systems, self.neighbors)
        species = self.species_index[types]
        selected = torch.ones_like(species, dtype=torch.bool)
        if selected_atoms is not None:
            selected = is_selected(samples, selected_atoms)

        rows: List[torch.Tensor] = []
        labels: List[Labels] = []
        for k in range(self.n_species):
            chosen = torch.nonzero(torch.logical_and(species == k, selected)).squeeze(1)
            rows.append(chosen)
            values = samples[chosen].to(torch.int32)
            labels.append(Labels(["system", "atom"], values, assume_unique=True))

        with_energy = self.energy is not None and self.energy_output in outputs
        if self.output in outputs or with_energy:
            used, used_vectors = pairs, vectors
            if selected_atoms is not None and not self.has_messages:
                # with messages, neighbours need their own neighbours
                wanted_pairs = selected[pairs[:, 0]]
                used, used_vectors = pairs[wanted_pairs], vectors[wanted_pairs]
            expansion = self.expansion(self.output in outputs, species, used, used_vectors)
            if with_energy:
                per_atom = outputs[self.energy_output].sample_kind == "atom"
                energies = self.energies(expansion, species, used, used_vectors)[selected]
                block = energy_block(energies, samples[selected], per_atom)
                zero = torch.zeros((1, 1), dtype=torch.int32, device=species.device)
                result[self.energy_output] = TensorMap(Labels(["_"], zero), [block])
            if self.output in outputs:
                coefficients = self.network.coefficients(expansion, rows)
                if self.has_mean_atoms:
                    # the network predicts the difference
                    for k in range(self.n_species):
                        deviation = coefficients[k][0]
                        mean = self.mean_atoms[k, : deviation.shape[2]]
                        coefficients[k][0] = deviation + mean
                result[self.output] = self.by_function(coefficients, labels)
        if self.deviations in outputs or self.errors in outputs or self.extrapolation in outputs:
            found = self.uncertain(outputs, species, pairs, vectors, selected, labels)
            result.update(found)
        return result

    def expansion(
        self, messages: bool, species: torch.Tensor, pairs: torch.Tensor, vectors: torch.Tensor
    ) -> torch.Tensor:
        """What energies, which need no messages, and coefficients are made from."""
        centers, neighbors = pairs[:, 0], pairs[:, 1]
        if messages:
            return self.network.surroundings(species, centers, neighbors, vectors)
        expansion: torch.Tensor = self.network.expansion(species, centers, neighbors, vectors)
        return expansion

    def energies(
        self,
        expansion: torch.Tensor,
        species: torch.Tensor,
        pairs: torch.Tensor,
        vectors: torch.Tensor,
    ) -> torch.Tensor:
        """Energies of all atoms, eV: (n_atoms,)."""
        energy = self.energy
        assert energy is not None
        # messages come last; an atom without neighbours has a gradient too, which is zero
        without = expansion[:, :, : self.network.expansion.size]
        learned: torch.Tensor = energy(without, species) + 0.0 * vectors.sum()
        return learned + energy.repel(species, pairs[:, 0], pairs[:, 1], vectors)

    def uncertain(
        self,
        outputs: Dict[str, ModelOutput],
        species: torch.Tensor,
        pairs: torch.Tensor,
        vectors: torch.Tensor,
        selected: torch.Tensor,
        labels: List[Labels],
    ) -> Dict[str, TensorMap]:
        """The outputs about uncertainty; those of an atom depend on its bonded neighbours."""
        result: Dict[str, TensorMap] = {}
        if self.uncertainty is None:
            return result
        rows: List[torch.Tensor] = []
        chosen: List[torch.Tensor] = []
        for k in range(self.n_species):
            rows.append(torch.nonzero(species == k).squeeze(1))
            chosen.append(selected[rows[k]])
        first, second = pairs[:, 0], pairs[:, 1]
        distances, bonds = self.uncertainty.distances(species, first, second, vectors, rows)
        if self.extrapolation in outputs:
            ratio = distances / self.uncertainty.limit
            result[self.extrapolation] = self.by_atom(ratio, rows, chosen, labels)
        if self.deviations in outputs or self.errors in outputs:
            layers = self.network.last_layers(species, first, second, vectors, rows)
            errors, deviations = self.uncertainty(layers, distances, bonds, first, second, rows)
            if self.errors in outputs:
                result[self.errors] = self.by_atom(errors, rows, chosen, labels)
            if self.deviations in outputs:
                values: List[List[torch.Tensor]] = []
                for k in range(self.n_species):
                    one: List[torch.Tensor] = []
                    for l in range(len(deviations[k])):
                        part = deviations[k][l][chosen[k]].unsqueeze(1)
                        one.append(part.repeat(1, 2 * l + 1, 1))
                    values.append(one)
                result[self.deviations] = self.by_function(values, labels)
        return result

    def by_function(self, values: List[List[torch.Tensor]], labels: List[Labels]) -> TensorMap:
        """Numbers [species][lambda] (n_atoms, mu, n) with the keys of coefficients."""
        device = values[0][0].device
        blocks: List[TensorBlock] = []
        for l, k in self.blocks:
            block = values[k][l]
            mu = torch.arange(-l, l + 1, device=device).reshape(-1, 1)
            n = torch.arange(block.shape[2], device=device).reshape(-1, 1)
            blocks.append(
                TensorBlock(
                    values=block,
                    samples=labels[k],
                    components=[Labels(["o3_mu"], mu)],
                    properties=Labels(["n"], n),
                )
            )
        return TensorMap(self.keys.to(device), blocks)

    def by_atom(
        self,
        values: torch.Tensor,
        rows: List[torch.Tensor],
        chosen: List[torch.Tensor],
        labels: List[Labels],
    ) -> TensorMap:
        """One number for each chosen atom, (n_atoms,), with one block a species."""
        device = values.device
        blocks: List[TensorBlock] = []
        for k in range(self.n_species):
            part = values[rows[k]][chosen[k]].unsqueeze(1)
            zero = torch.zeros((1, 1), dtype=torch.int32, device=device)
            blocks.append(TensorBlock(part, labels[k], [], Labels(["value"], zero)))
        return TensorMap(self.species_keys.to(device), blocks)


def mean_atoms(basis: Basis) -> torch.Tensor:
    """Coefficients of s functions of a mean atom of each species, e/bohr^1.5: (n_species, n)."""
    counts = [len(basis.radial_functions(z, 0)) for z in basis.species]
    means = torch.zeros((len(counts), max(counts)), dtype=torch.float64)
    for k, z in enumerate(basis.species):
        own = basis.mean_atoms.get(z, ())
        means[k, : len(own)] = torch.tensor(own, dtype=torch.float64)
    return means


def joined(
    systems: List[System], neighbors: NeighborListOptions
) -> Tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Several systems as one.

    Returns
    -------
    tuple
        Atomic numbers (n_atoms,); system and index of each atom, (n_atoms, 2); pairs of atoms
        within the cutoff, counted over all systems, (n_pairs, 2); vectors of pairs, Angstrom,
        (n_pairs, 3).
    """
    types: List[torch.Tensor] = []
    samples: List[torch.Tensor] = []
    pairs: List[torch.Tensor] = []
    vectors: List[torch.Tensor] = []
    offset = 0
    for index, system in enumerate(systems):
        block = system.get_neighbor_list(neighbors)
        atoms = torch.arange(len(system), device=system.device)
        types.append(system.types)
        samples.append(torch.stack([torch.full_like(atoms, index), atoms], dim=1))
        pairs.append(block.samples.values[:, :2] + offset)
        vectors.append(block.values.squeeze(2))
        offset += len(system)
    numbers, all_pairs = torch.cat(types).to(torch.long), torch.cat(pairs).to(torch.long)
    return numbers, torch.cat(samples), all_pairs, torch.cat(vectors)


def is_selected(samples: torch.Tensor, selected_atoms: Labels) -> torch.Tensor:
    """Which atoms, with system and index (n_atoms, 2), are among those selected: (n_atoms,)."""
    starts = torch.searchsorted(
        samples[:, 0].contiguous(), selected_atoms.column("system").to(torch.long)
    )
    selected = torch.zeros_like(samples[:, 0], dtype=torch.bool)
    selected[starts + selected_atoms.column("atom")] = True
    return selected


def energy_block(energies: torch.Tensor, samples: torch.Tensor, per_atom: bool) -> TensorBlock:
    """Energies as metatomic wants them.

    Parameters
    ----------
    energies
        Of atoms, eV: (n_atoms,).
    samples
        System and index of each: (n_atoms, 2).
    per_atom
        Whether to keep them; otherwise they are summed in each system.
    """
    names = ["system", "atom"]
    if not per_atom:
        names = ["system"]
        systems, index = torch.unique(samples[:, 0], return_inverse=True)
        # all-electron energies are large: single precision should not add them up
        double = energies.dtype if energies.device.type == "mps" else torch.float64
        total = torch.zeros(systems.shape[0], dtype=double, device=energies.device)
        energies = total.index_add(0, index, energies.to(double)).to(energies.dtype)
        samples = systems.unsqueeze(1)
    return TensorBlock(
        values=energies.unsqueeze(1),
        samples=Labels(names, samples.to(torch.int32), assume_unique=True),
        components=torch.jit.annotate(List[Labels], []),
        properties=Labels(
            ["energy"], torch.zeros((1, 1), dtype=torch.int32, device=energies.device)
        ),
    )
