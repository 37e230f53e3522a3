"""The whole network: one part for each species, behind one expansion."""

# no "from __future__ import annotations": TorchScript reads the annotations of this module

from collections.abc import Sequence
from typing import Any, cast

import torch

from .channels import ChannelMixing, Messages, Products
from .expansion import Expansion
from .gates import Gates
from .options import NetworkOptions
from .radial import RadialTable
from .readout import Readout


class SpeciesNetwork(torch.nn.Module):
    """From the expansion around atoms of one species to their coefficients.

    Parameters
    ----------
    l_max, n_in
        Highest l and number of radial channels of the expansion in species.
    n_radial
        Radial functions of the expansion in messages.
    transforms
        For each lambda the matrix that takes coefficients of the orthonormalised radial
        basis to those of the auxiliary basis: (n_out, n_out), possibly of size 0.
    options
        Architecture.
    """

    def __init__(
        self,
        l_max: int,
        n_in: int,
        n_radial: int,
        transforms: Sequence[torch.Tensor],
        options: NetworkOptions,
    ) -> None:
        super().__init__()
        self.has_gates = options.tensors > 0
        self.messages = Messages(l_max, n_in, options)
        n_all = n_in + options.messages * n_radial
        self.mixing = ChannelMixing(l_max, n_all, options.channels)
        self.products = Products(l_max, self.mixing.n_out, options.products)
        size = self.products.n_out
        # without tensors there is nothing that gates could mix
        n_invariants, n_gates = (options.invariants, options.gates) if self.has_gates else (0, 0)
        self.gates = Gates(l_max, size, n_invariants, n_gates, options.depth)
        self.readouts = torch.nn.ModuleList(
            Readout(l_max, o3_lambda, size, transform, options)
            for o3_lambda, transform in enumerate(transforms)
        )

    def forward(self, expansion: torch.Tensor) -> list[torch.Tensor]:
        """Coefficients of each lambda: (n_atoms, 2 lambda + 1, n_out), e/bohr^1.5."""
        if expansion.shape[0] == 0:
            return self.nothing(expansion)
        outputs = self.orthonormal(expansion)
        for o3_lambda, readout in enumerate(self.readouts):
            product = torch.matmul(outputs[o3_lambda], readout.transform)  # type: ignore[arg-type]
            outputs[o3_lambda] = product
        return outputs

    def nothing(self, expansion: torch.Tensor) -> list[torch.Tensor]:
        """Coefficients of no atoms; most species of a model have none in a structure."""
        outputs: list[torch.Tensor] = []
        for o3_lambda, readout in enumerate(self.readouts):
            shape = (0, 2 * o3_lambda + 1, readout.n_out)
            outputs.append(expansion.new_zeros(shape))  # type: ignore[arg-type]
        return outputs

    def orthonormal(self, expansion: torch.Tensor) -> list[torch.Tensor]:
        """The same for the orthonormalised radial basis, in which the network is trained."""
        return self.outputs(self.channels(expansion))

    def channels(self, expansion: torch.Tensor) -> torch.Tensor:
        """What gates and readouts multiply: mixed channels of the expansion, and products."""
        return self.products(self.mixing(expansion))

    def outputs(self, expansion: torch.Tensor) -> list[torch.Tensor]:
        """The same from these channels."""
        gates = expansion.new_zeros((expansion.shape[0], 0))
        if self.has_gates:
            gates = self.gates(expansion)
        outputs: list[torch.Tensor] = []
        for readout in self.readouts:
            outputs.append(readout(expansion, gates))
        return outputs

    def last_layer(self, expansion: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """What the readouts contract: gates, and tensors of each lambda."""
        mixed = self.channels(expansion)
        tensors: list[torch.Tensor] = []
        for readout in self.readouts:
            tensors.append(readout.tensors(mixed))  # type: ignore[operator]
        return self.gates(mixed), tensors


class DensityNetwork(torch.nn.Module):
    """Coefficients of the density of atoms of several species.

    Parameters
    ----------
    options
        Architecture.
    transforms
        For each species (in the order of their indices) and each lambda up to the highest
        one, see :class:`SpeciesNetwork`.
    table, own
        Radial functions, see :func:`~ase_rholearn.model.network.radial.tabulate`.
    """

    __jit_unused_properties__ = ("cutoff", "range")

    def __init__(
        self,
        options: NetworkOptions,
        transforms: Sequence[Sequence[torch.Tensor]],
        table: RadialTable,
        own: torch.Tensor,
    ) -> None:
        super().__init__()
        self.options = options
        self.n_messages = options.messages
        self.expansion = Expansion(table, own, len(transforms))
        self.species = torch.nn.ModuleList(
            SpeciesNetwork(
                self.expansion.l_max,
                self.expansion.size,
                self.expansion.n_radial,
                one,
                options,
            )
            for one in transforms
        )

    @property
    def cutoff(self) -> float:
        """Radius in Angstrom of the pairs that are needed."""
        return self.expansion.table.cutoff

    @property
    def range(self) -> float:
        """Radius in Angstrom of the atoms that an atom's coefficients depend on."""
        return (2 if self.n_messages else 1) * self.cutoff

    def forward(
        self,
        species: torch.Tensor,
        centers: torch.Tensor,
        neighbors: torch.Tensor,
        vectors: torch.Tensor,
        rows: list[torch.Tensor],
    ) -> list[list[torch.Tensor]]:
        """Coefficients of the chosen atoms.

        Parameters
        ----------
        species
            Species index of every atom: (n_atoms,).
        centers, neighbors
            Pairs within the cutoff, both directions: (n_pairs,) each.
        vectors
            From centre to neighbour in Angstrom: (n_pairs, 3).
        rows
            For each species the atoms wanted: indices into ``species``.

        Returns
        -------
        list
            For each species and lambda: (n_rows, 2 lambda + 1, n_functions), e/bohr^1.5.
        """
        expansion = self.surroundings(species, centers, neighbors, vectors)
        return self.coefficients(expansion, rows)

    def coefficients(
        self, expansion: torch.Tensor, rows: list[torch.Tensor]
    ) -> list[list[torch.Tensor]]:
        """The same from the expansion of every atom."""
        outputs: list[list[torch.Tensor]] = []
        for k, network in enumerate(self.species):
            outputs.append(network(expansion[rows[k]]))
        return outputs

    def surroundings(
        self,
        species: torch.Tensor,
        centers: torch.Tensor,
        neighbors: torch.Tensor,
        vectors: torch.Tensor,
    ) -> torch.Tensor:
        """Expansion of every atom in species and messages: (n_atoms, (l_max + 1)^2, n)."""
        expansion = self.expansion(species, centers, neighbors, vectors)
        if self.n_messages == 0:
            return expansion
        messages = self.messages(expansion, species)
        second = self.expansion.weighted(messages, centers, neighbors, vectors)
        return torch.cat([expansion, second], dim=2)

    def messages(self, expansion: torch.Tensor, species: torch.Tensor) -> torch.Tensor:
        """Messages of all atoms: (n_atoms, n_messages)."""
        total = expansion.new_zeros((expansion.shape[0], self.n_messages))
        for k, network in enumerate(self.species):
            rows = torch.nonzero(species == k).squeeze(1)
            if rows.shape[0] > 0:
                total = total.index_copy(0, rows, network.messages(expansion[rows]))  # type: ignore[operator]
        return total

    def last_layers(
        self,
        species: torch.Tensor,
        centers: torch.Tensor,
        neighbors: torch.Tensor,
        vectors: torch.Tensor,
        rows: list[torch.Tensor],
    ) -> list[tuple[torch.Tensor, list[torch.Tensor]]]:
        """What the readouts of the chosen atoms contract; parameters as for the coefficients.

        Returns
        -------
        list
            For each species the gates, (n_rows, n_gates), and for each lambda the tensors,
            (n_rows, 2 lambda + 1, n_tensors).
        """
        expansion = self.surroundings(species, centers, neighbors, vectors)
        layers: list[tuple[torch.Tensor, list[torch.Tensor]]] = []
        for k, network in enumerate(self.species):
            layers.append(network.last_layer(expansion[rows[k]]))  # type: ignore[operator]
        return layers


def readouts_of(species: SpeciesNetwork) -> list[Readout]:
    """The readouts of a species, by lambda, with their type."""
    return cast("list[Readout]", list(species.readouts))


def species_of(network: Any) -> list[SpeciesNetwork]:
    """The networks of each species, with their type."""
    return cast("list[SpeciesNetwork]", list(network.species))
