"""The network core: plain torch tensors in, coefficients per species and lambda out.

For every atom the positions of its neighbours become an expansion in radial functions and
spherical harmonics, two of which are coupled to tensors of order lambda (the lambda-SOAP
features; A. Grisafi et al., Phys. Rev. Lett. 120, 036002 (2018)). The weights are applied
before the coupling, so that the features themselves are never formed. Functions of the
invariants, the gates, decide how the tensors are mixed into the coefficients of each species.

Two steps before that are optional. Messages: invariants of every neighbour weigh its share in a
second expansion, so that an atom sees what surrounds its neighbours. Channels: for each l, the
radial functions of all species (and messages) are combined into fewer.

Everything here can be compiled by TorchScript and depends on nothing but torch.
"""

# no "from __future__ import annotations": TorchScript reads the annotations of this module

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, cast

import torch

from ..basis import solid_harmonics
from .clebsch_gordan import clebsch_gordan, coupled_pairs
from .radial import NeighborDensity, RadialTable

#: Pairs that are expanded at once; their products stay in the processor's cache.
_PAIRS_PER_BLOCK = 4096


@dataclass(frozen=True)
class NetworkOptions:
    """Architecture of the network.

    Attributes
    ----------
    density
        The neighbour density.
    tensors
        Tensors of each order lambda that are made per atom and mixed by gates; 0 leaves
        only the linear part.
    invariants
        Invariants per atom that the gates depend on.
    gates
        Functions of the invariants that mix the tensors.
    linear
        Whether to add a linear map of all features to the coefficients.
    channels
        Combinations of the radial functions of all species, for each l, that are multiplied
        with each other. None multiplies all of them: slow for more than a few species.
    messages
        Invariants of neighbours that weigh the second expansion; 0 leaves it out.
    """

    density: NeighborDensity = field(default_factory=NeighborDensity)
    tensors: int = 16
    invariants: int = 32
    gates: int = 64
    linear: bool = False
    channels: int | None = None
    messages: int = 0

    def __post_init__(self) -> None:
        if self.channels is not None and self.channels < 1:
            raise ValueError(f"channels is {self.channels}: give 1 or more, or None")
        if self.messages < 0:
            raise ValueError(f"messages is {self.messages}: give 0 or more")
        if self.tensors < 0:
            raise ValueError(f"tensors is {self.tensors}: give 0 or more")
        if self.tensors == 0 and not self.linear:
            raise ValueError("tensors is 0 and linear is false: the network would be empty")
        if self.invariants < 1 or self.gates < 1:
            raise ValueError(
                f"invariants is {self.invariants} and gates {self.gates}: give 1 or more"
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "NetworkOptions":
        """The inverse of :meth:`to_dict`."""
        return cls(**{**data, "density": NeighborDensity(**data["density"])})


class Expansion(torch.nn.Module):
    """Expansion of the neighbour density of every atom.

    Parameters
    ----------
    table
        Radial functions.
    own
        What the atom itself adds to (l, m) = (0, 0): (n_radial,).
    n_species
        Number of species.
    """

    own: torch.Tensor

    def __init__(self, table: RadialTable, own: torch.Tensor, n_species: int) -> None:
        super().__init__()
        self.table = table
        self.l_max = table.l_size - 1
        self.n_radial = table.n_radial
        self.n_species = n_species
        self.size = n_species * table.n_radial
        self.pairs_per_block = _PAIRS_PER_BLOCK
        self.register_buffer("own", own)

    def forward(
        self,
        species: torch.Tensor,
        centers: torch.Tensor,
        neighbors: torch.Tensor,
        vectors: torch.Tensor,
    ) -> torch.Tensor:
        """Expansion coefficients: (n_atoms, (l_max + 1)^2, n_species * n_radial)."""
        n_atoms = species.shape[0]
        lm_size = (self.l_max + 1) * (self.l_max + 1)
        rows = centers * self.n_species + species[neighbors]
        parts: list[torch.Tensor] = []
        for l in range(self.l_max + 1):
            shape = (n_atoms * self.n_species, 2 * l + 1, self.n_radial)
            parts.append(vectors.new_zeros(shape))
        for start in range(0, vectors.shape[0], self.pairs_per_block):
            stop = start + self.pairs_per_block
            r = torch.linalg.vector_norm(vectors[start:stop], dim=1, keepdim=True)
            harmonics = solid_harmonics(vectors[start:stop] / r, self.l_max)
            radial = self.table(r.squeeze(1))
            for l in range(self.l_max + 1):
                angular = harmonics[:, l * l : (l + 1) * (l + 1)].unsqueeze(2)
                product = angular * radial[:, l].unsqueeze(1)  # [pair, m, n]
                parts[l].index_add_(0, rows[start:stop], product)
        # [atom, species, lm, n] -> [atom, lm, (species, n)]
        total = torch.cat(parts, dim=1).reshape(n_atoms, self.n_species, lm_size, self.n_radial)
        total = total.permute(0, 2, 1, 3).reshape(n_atoms, lm_size, self.size)
        return total + self.self_contribution(species, lm_size)

    def products(self, vectors: torch.Tensor) -> torch.Tensor:
        """Radial functions times harmonics of pairs: (n_pairs, (l_max + 1)^2, n_radial)."""
        r = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
        harmonics = solid_harmonics(vectors / r, self.l_max)
        radial = self.table(r.squeeze(1))
        parts: list[torch.Tensor] = []
        for l in range(self.l_max + 1):
            angular = harmonics[:, l * l : (l + 1) * (l + 1)].unsqueeze(2)
            parts.append(angular * radial[:, l].unsqueeze(1))  # [pair, m, n]
        return torch.cat(parts, dim=1)

    def weighted(
        self,
        weights: torch.Tensor,
        centers: torch.Tensor,
        neighbors: torch.Tensor,
        vectors: torch.Tensor,
    ) -> torch.Tensor:
        """Expansion in which each neighbour counts with its weights.

        Parameters
        ----------
        weights
            Of every atom: (n_atoms, n_weights).
        centers, neighbors, vectors
            The pairs.

        Returns
        -------
        torch.Tensor
            (n_atoms, (l_max + 1)^2, n_weights * n_radial).
        """
        lm_size = (self.l_max + 1) * (self.l_max + 1)
        size = weights.shape[1] * self.n_radial
        total = weights.new_zeros((weights.shape[0], lm_size, size))
        for start in range(0, vectors.shape[0], self.pairs_per_block):
            stop = start + self.pairs_per_block
            products = self.products(vectors[start:stop])
            messages = send(weights[neighbors[start:stop]], products)
            total = total.index_add(0, centers[start:stop], messages)
        return total

    def self_contribution(self, species: torch.Tensor, lm_size: int) -> torch.Tensor:
        """The atom's own Gaussian: (n_atoms, (l_max + 1)^2, n_species * n_radial)."""
        chosen = torch.nn.functional.one_hot(species, self.n_species).to(self.own.dtype)
        s = (chosen.unsqueeze(2) * self.own).reshape(-1, 1, self.size)
        return torch.nn.functional.pad(s, (0, 0, 0, lm_size - 1))


def send(weights: torch.Tensor, products: torch.Tensor) -> torch.Tensor:
    """What neighbours with weights (n_pairs, n_weights) add to expansions.

    Products (n_pairs, lm, n_radial) -> (n_pairs, lm, n_weights * n_radial).
    """
    return (weights[:, None, :, None] * products[:, :, None, :]).flatten(2)


class ChannelMixing(torch.nn.Module):
    """Combinations of the channels of an expansion, others for each l.

    Without a number of channels, the expansion as it is.
    """

    def __init__(self, l_max: int, n_in: int, channels: int | None) -> None:
        super().__init__()
        self.l_max = l_max
        self.n_out = n_in if channels is None else channels
        self.mixes = channels is not None
        #: [l, in, out]
        shape = (l_max + 1, n_in, channels or 0)
        self.weight = torch.nn.Parameter(torch.zeros(shape, dtype=torch.float64))

    def forward(self, expansion: torch.Tensor) -> torch.Tensor:
        """(n_atoms, (l_max + 1)^2, n_in) -> (n_atoms, (l_max + 1)^2, n_out)."""
        if not self.mixes:
            return expansion
        parts: list[torch.Tensor] = []
        for l in range(self.l_max + 1):
            parts.append(torch.matmul(expansion[:, l * l : (l + 1) * (l + 1)], self.weight[l]))
        return torch.cat(parts, dim=1)


class CoupledPath(torch.nn.Module):
    """Weighted product of the expansion's parts l1 and l2, coupled to order lambda."""

    coupling: torch.Tensor

    def __init__(self, l1: int, l2: int, o3_lambda: int, n_in: int, n_out: int) -> None:
        super().__init__()
        self.l1, self.l2, self.o3_lambda = l1, l2, o3_lambda
        self.n_out = n_out
        coupling = clebsch_gordan(l1, l2, o3_lambda)
        self.register_buffer("coupling", coupling.reshape(-1, 2 * l2 + 1).clone())
        #: [q1, q2, out]
        self.weight = torch.nn.Parameter(torch.zeros((n_in, n_in, n_out), dtype=torch.float64))

    def forward(self, expansion: torch.Tensor) -> torch.Tensor:
        """Tensors of order lambda: (n_atoms, 2 lambda + 1, n_out)."""
        n_atoms, n_in = expansion.shape[0], expansion.shape[2]
        size1 = 2 * self.l1 + 1
        first = expansion[:, self.l1 * self.l1 : (self.l1 + 1) * (self.l1 + 1)]
        second = expansion[:, self.l2 * self.l2 : (self.l2 + 1) * (self.l2 + 1)]
        # [atom, m1, q1] [q1, (q2, out)] -> [atom, (m1, q2), out]
        weighted = torch.matmul(first, self.weight.reshape(n_in, n_in * self.n_out))
        weighted = weighted.reshape(n_atoms, size1 * n_in, self.n_out)
        # [(mu, m1), m2] [m2, (atom, q2)] -> [atom, mu, (m1, q2)]
        second = second.transpose(0, 1).reshape(2 * self.l2 + 1, n_atoms * n_in)
        coupled = torch.matmul(self.coupling, second)
        coupled = coupled.reshape(2 * self.o3_lambda + 1, size1, n_atoms, n_in)
        coupled = coupled.permute(2, 0, 1, 3)
        coupled = coupled.reshape(n_atoms, 2 * self.o3_lambda + 1, size1 * n_in)
        return torch.bmm(coupled, weighted)


class CoupledProduct(torch.nn.Module):
    """All products of the expansion with itself that make tensors of one order lambda.

    The expansion's own part of that order is added with weights too, where it has one.
    """

    def __init__(self, l_max: int, o3_lambda: int, n_in: int, n_out: int) -> None:
        super().__init__()
        self.o3_lambda = o3_lambda
        self.n_out = n_out
        self.paths = torch.nn.ModuleList(
            CoupledPath(l1, l2, o3_lambda, n_in, n_out)
            for l1, l2 in coupled_pairs(l_max, o3_lambda)
        )
        self.has_linear = o3_lambda <= l_max
        self.linear = torch.nn.Parameter(torch.zeros((n_in, n_out), dtype=torch.float64))

    def forward(self, expansion: torch.Tensor) -> torch.Tensor:
        """Tensors of order lambda: (n_atoms, 2 lambda + 1, n_out)."""
        mu = 2 * self.o3_lambda + 1
        total = expansion.new_zeros((expansion.shape[0], mu, self.n_out))
        if self.n_out == 0:
            return total
        if self.has_linear:
            start = self.o3_lambda * self.o3_lambda
            total = torch.matmul(expansion[:, start : start + mu], self.linear)
        for path in self.paths:
            total = total + path(expansion)
        return total


class Gates(torch.nn.Module):
    """Functions of the invariants of an atom: cosines of random or learned projections.

    Together with a linear readout they approximate a kernel of the invariants (A. Rahimi and
    B. Recht, Adv. Neural Inf. Process. Syst. 20, 1177 (2007)); being bounded, they do not run
    away for atoms unlike those of the training set.
    """

    def __init__(self, l_max: int, n_in: int, invariants: int, gates: int) -> None:
        super().__init__()
        self.product = CoupledProduct(l_max, 0, n_in, invariants)
        self.shift = torch.nn.Parameter(torch.zeros(invariants, dtype=torch.float64))
        self.weight = torch.nn.Parameter(torch.zeros((invariants, gates), dtype=torch.float64))
        self.phase = torch.nn.Parameter(torch.zeros(gates, dtype=torch.float64))

    def forward(self, expansion: torch.Tensor) -> torch.Tensor:
        """A constant, then the gates: (n_atoms, 1 + n_gates)."""
        invariants = self.invariants(expansion)
        waves = torch.cos(torch.matmul(invariants, self.weight) + self.phase)
        return torch.cat([torch.ones_like(waves[:, :1]), waves], dim=1)

    def invariants(self, expansion: torch.Tensor) -> torch.Tensor:
        """What the gates depend on: (n_atoms, n_invariants)."""
        return self.product(expansion).squeeze(1) + self.shift


class Messages(torch.nn.Module):
    """Bounded invariants of an atom, by which it makes itself known to its neighbours."""

    def __init__(self, l_max: int, n_in: int, options: NetworkOptions) -> None:
        super().__init__()
        self.mixing = ChannelMixing(l_max, n_in, options.channels)
        self.product = CoupledProduct(l_max, 0, self.mixing.n_out, options.messages)
        self.shift = torch.nn.Parameter(torch.zeros(options.messages, dtype=torch.float64))

    def forward(self, expansion: torch.Tensor) -> torch.Tensor:
        """Expansion of the species alone -> (n_atoms, n_messages), between -1 and 1."""
        mixed = self.mixing(expansion)
        return torch.tanh(self.product(mixed).squeeze(1) + self.shift)


class Readout(torch.nn.Module):
    """Coefficients of one lambda from tensors of that order, mixed by the gates.

    c_mu,out = sum_k h_mu,k sum_g gate_g weight_g,k,out, plus a linear map if there is one.
    """

    transform: torch.Tensor

    def __init__(
        self,
        l_max: int,
        o3_lambda: int,
        n_in: int,
        transform: torch.Tensor,
        options: NetworkOptions,
    ) -> None:
        super().__init__()
        self.n_out = transform.shape[0]
        self.n_linear = self.n_out if options.linear else 0
        self.n_tensors = options.tensors if self.n_out > 0 else 0
        #: n_linear outputs of the linear map, then the tensors
        self.product = CoupledProduct(l_max, o3_lambda, n_in, self.n_linear + self.n_tensors)
        shape = (1 + options.gates, self.n_tensors, self.n_out)
        self.weight = torch.nn.Parameter(torch.zeros(shape, dtype=torch.float64))
        # only invariants have a mean
        bias = torch.zeros(self.n_out, dtype=torch.float64)
        self.bias = torch.nn.Parameter(bias, requires_grad=o3_lambda == 0)
        self.register_buffer("transform", transform.T.contiguous().to(torch.float64))

    def forward(self, expansion: torch.Tensor, gates: torch.Tensor) -> torch.Tensor:
        """Coefficients of the orthonormal radial basis: (n_atoms, 2 lambda + 1, n_out)."""
        products = self.product(expansion)
        linear, tensors = products[..., : self.n_linear], products[..., self.n_linear :]
        if self.n_tensors == 0:
            return linear + self.bias
        mixed = self.mix(tensors, gates) + self.bias
        if self.n_linear > 0:
            mixed = mixed + linear
        return mixed

    def tensors(self, expansion: torch.Tensor) -> torch.Tensor:
        """The tensors that gates mix: (n_atoms, 2 lambda + 1, n_tensors)."""
        return self.product(expansion)[..., self.n_linear :]

    def mix(self, tensors: torch.Tensor, gates: torch.Tensor) -> torch.Tensor:
        """Tensors (n_atoms, mu, n_tensors) with gates (n_atoms, n_gates), without the bias."""
        size = self.n_tensors * self.n_out
        mixing = torch.matmul(gates, self.weight.reshape(gates.shape[1], size))
        return torch.bmm(tensors, mixing.reshape(-1, self.n_tensors, self.n_out))


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
        size = self.mixing.n_out
        self.gates = Gates(l_max, size, options.invariants, options.gates)
        self.readouts = torch.nn.ModuleList(
            Readout(l_max, o3_lambda, size, transform, options)
            for o3_lambda, transform in enumerate(transforms)
        )

    def forward(self, expansion: torch.Tensor) -> list[torch.Tensor]:
        """Coefficients of each lambda: (n_atoms, 2 lambda + 1, n_out), e/bohr^1.5."""
        outputs = self.orthonormal(expansion)
        for o3_lambda, readout in enumerate(self.readouts):
            product = torch.matmul(outputs[o3_lambda], readout.transform)  # type: ignore[arg-type]
            outputs[o3_lambda] = product
        return outputs

    def orthonormal(self, expansion: torch.Tensor) -> list[torch.Tensor]:
        """The same for the orthonormalised radial basis, in which the network is trained."""
        return self.outputs(self.mixing(expansion))

    def outputs(self, expansion: torch.Tensor) -> list[torch.Tensor]:
        """The same from the expansion in mixed channels."""
        gates = expansion.new_zeros((expansion.shape[0], 0))
        if self.has_gates:
            gates = self.gates(expansion)
        outputs: list[torch.Tensor] = []
        for readout in self.readouts:
            outputs.append(readout(expansion, gates))
        return outputs

    def last_layer(self, expansion: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """What the readouts contract: gates, and tensors of each lambda."""
        mixed = self.mixing(expansion)
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
        Radial functions, see :func:`~ase_rholearn.model.radial.tabulate`.
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


def paths_of(product: CoupledProduct) -> list[CoupledPath]:
    """The paths of a product, with their type."""
    return cast("list[CoupledPath]", list(product.paths))


def readouts_of(species: SpeciesNetwork) -> list[Readout]:
    """The readouts of a species, by lambda, with their type."""
    return cast("list[Readout]", list(species.readouts))


def species_of(network: Any) -> list[SpeciesNetwork]:
    """The networks of each species, with their type."""
    return cast("list[SpeciesNetwork]", list(network.species))
