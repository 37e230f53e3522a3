r"""Uncertainty of coefficients and atoms, from rigidities and surroundings.

Of an atom A of species z are predicted

- the standard deviation of each coefficient of the orthonormal radial functions
  (:func:`~ase_rholearn.basis.radial_transform` in the overlap metric), the same for all mu:
  :math:`\sigma_n^2 = a_n + b_n R_\lambda`, see :mod:`ase_rholearn.model.uncertainty.rigidity`;
- its part of the error of the density, the integral of :math:`w_A |\delta\rho|` with Hirshfeld's
  share w, in electrons: a sum with coefficients of the species, none of which is negative, of 1,
  :math:`s = (\sum_\lambda R_\lambda)^{1/2}`, the distance d to known surroundings
  (:mod:`ase_rholearn.model.uncertainty.surroundings`), and the means of s and d over bonded
  neighbours;
- d over its limit, beyond which hardly any atoms like those of the training set lie.

Everything here can be compiled by TorchScript and depends on nothing but torch.
"""

# no "from __future__ import annotations": TorchScript reads the annotations of this module

from collections.abc import Sequence

import torch

from .rigidity import Rigidity
from .surroundings import Surroundings

#: Terms of an atom's error: 1, s, d, and the means of s and d over neighbours.
N_TERMS = 5

#: Distance to known surroundings of species that the training set had not, in neighbours.
UNKNOWN = 100.0

#: Bonds of an atom fewer than this count as none.
_LONELY = 1e-3


class CoefficientVariance(torch.nn.Module):
    """Variances a_n + b_n R of the coefficients of one species and lambda.

    Parameters
    ----------
    rigidity
        Gives R.
    offset, slope
        a_n and b_n: (n_functions,) each, e^2/bohr^3.
    """

    offset: torch.Tensor
    slope: torch.Tensor

    def __init__(self, rigidity: Rigidity, offset: torch.Tensor, slope: torch.Tensor) -> None:
        super().__init__()
        self.rigidity = rigidity
        # small numbers: their roots keep their digits in single precision
        self.register_buffer("offset", offset.sqrt())
        self.register_buffer("slope", slope.sqrt())

    def forward(self, gates: torch.Tensor, tensors: torch.Tensor) -> torch.Tensor:
        """R of atoms: (n_atoms,)."""
        return self.rigidity(gates, tensors)

    def deviation(self, rigidity: torch.Tensor) -> torch.Tensor:
        """Standard deviations from R: (n_atoms, n_functions)."""
        return (self.offset.square() + self.slope.square() * rigidity.unsqueeze(1)).sqrt()


class SpeciesUncertainty(torch.nn.Module):
    """Uncertainty of atoms of one species.

    Parameters
    ----------
    variances
        For each lambda.
    known
        Surroundings of training atoms: (n, size), at least one.
    terms
        Coefficients of an atom's error: (5,) electrons.
    """

    known: torch.Tensor
    terms: torch.Tensor

    def __init__(
        self, variances: Sequence[CoefficientVariance], known: torch.Tensor, terms: torch.Tensor
    ) -> None:
        super().__init__()
        self.variances = torch.nn.ModuleList(variances)
        self.register_buffer("known", known.clone())
        self.register_buffer("terms", terms.clone())

    def forward(self, gates: torch.Tensor, tensors: list[torch.Tensor]) -> torch.Tensor:
        """R of each atom and lambda: (n_atoms, n_lambda)."""
        rigidities: list[torch.Tensor] = []
        for o3_lambda, variance in enumerate(self.variances):
            rigidities.append(variance(gates, tensors[o3_lambda]))
        return torch.stack(rigidities, dim=1)

    def deviations(self, rigidity: torch.Tensor) -> list[torch.Tensor]:
        """Standard deviations for each lambda: (n_atoms, n_functions), e/bohr^1.5."""
        result: list[torch.Tensor] = []
        for o3_lambda, variance in enumerate(self.variances):
            result.append(variance.deviation(rigidity[:, o3_lambda]))  # type: ignore[operator]
        return result

    def distance(self, surroundings: torch.Tensor) -> torch.Tensor:
        """Distance of each atom to the nearest known surroundings: (n_atoms,)."""
        # not by matrix products, which lose digits of small distances
        apart = torch.cdist(surroundings, self.known, compute_mode="donot_use_mm_for_euclid_dist")
        return apart.min(dim=1)[0]


class Uncertainty(torch.nn.Module):
    """Uncertainty of all atoms of some structures.

    Parameters
    ----------
    surroundings
        Describes atoms.
    species
        In the order of the network's.
    limit
        Distance beyond which an atom counts as unknown.
    """

    limit: torch.Tensor

    def __init__(
        self, surroundings: Surroundings, species: Sequence[SpeciesUncertainty], limit: float
    ) -> None:
        super().__init__()
        self.surroundings = surroundings
        self.species = torch.nn.ModuleList(species)
        self.lonely = _LONELY
        self.register_buffer("limit", torch.tensor(limit, dtype=torch.float64))

    def forward(
        self,
        layers: list[tuple[torch.Tensor, list[torch.Tensor]]],
        distances: torch.Tensor,
        bonds: torch.Tensor,
        centers: torch.Tensor,
        neighbors: torch.Tensor,
        rows: list[torch.Tensor],
    ) -> tuple[torch.Tensor, list[list[torch.Tensor]]]:
        """Errors of all atoms, (n_atoms,) electrons, and standard deviations of coefficients.

        Parameters
        ----------
        layers
            For each species the gates and tensors of its atoms, see
            :meth:`~ase_rholearn.model.network.DensityNetwork.last_layers`.
        distances, bonds
            Of :meth:`distances`.
        centers, neighbors
            Pairs, as for the network.
        rows
            For each species all of its atoms.

        Returns
        -------
        tuple
            The errors, and for each species and lambda (n_rows, n_functions), e/bohr^1.5.
        """
        deviations: list[list[torch.Tensor]] = []
        total = torch.zeros_like(distances)
        for k, one in enumerate(self.species):
            gates, tensors = layers[k]
            rigidity = one(gates, tensors)
            total = total.index_copy(0, rows[k], rigidity.sum(dim=1).sqrt())
            deviations.append(one.deviations(rigidity))  # type: ignore[operator]
        terms = self.terms(total, distances, bonds, centers, neighbors)
        errors = torch.zeros_like(distances)
        for k, one in enumerate(self.species):
            part = torch.matmul(terms[rows[k]], one.terms)  # type: ignore[arg-type]
            errors = errors.index_copy(0, rows[k], part)
        return errors, deviations

    def distances(
        self,
        species: torch.Tensor,
        centers: torch.Tensor,
        neighbors: torch.Tensor,
        vectors: torch.Tensor,
        rows: list[torch.Tensor],
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Distance of all atoms to known surroundings, (n_atoms,), and bonds, (n_pairs,)."""
        numbers, bonds = self.surroundings(species, centers, neighbors, vectors)
        distances = torch.zeros_like(numbers[:, 0])
        for k, one in enumerate(self.species):
            distances = distances.index_copy(0, rows[k], one.distance(numbers[rows[k]]))  # type: ignore[operator]
        return distances, bonds

    def terms(
        self,
        rigidity: torch.Tensor,
        distances: torch.Tensor,
        bonds: torch.Tensor,
        centers: torch.Tensor,
        neighbors: torch.Tensor,
    ) -> torch.Tensor:
        """What the error of each atom is a sum of: (n_atoms, 5)."""
        own = torch.stack([rigidity, distances], dim=1)
        bonds = bonds.unsqueeze(1)
        summed = torch.zeros_like(own).index_add(0, centers, bonds * own[neighbors])
        count = torch.zeros_like(own[:, :1]).index_add(0, centers, bonds)
        means = summed / torch.clamp(count, min=self.lonely)
        return torch.cat([torch.ones_like(own[:, :1]), own, means], dim=1)
