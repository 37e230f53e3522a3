r"""Uncertainty of a prediction from its last layer: cheap, and no second network.

A prediction that is linear in features phi is as uncertain as the data of the training set
leave it free (F. Bigi, S. Chong, M. Ceriotti and F. Grasselli, Mach. Learn.: Sci. Technol. 5,
045018 (2024)):

.. math:: R = \frac{1}{2\lambda + 1} \sum_\mu \phi_\mu^T (C + \zeta)^{-1} \phi_\mu

where C is the mean of phi phi^T over training atoms of the species and mu. The features are those
that the readouts contract, gates times tensors (:class:`~ase_rholearn.model.network.Readout`), so
that there is one C for each species and lambda; R does not change with rotations. Of C the leading
eigenvectors v_k with eigenvalues s_k are kept, and the rest counts as zero,

.. math:: R = \frac{1}{2\lambda + 1} \sum_\mu \Big[ \sum_k \frac{(v_k^T \phi_\mu)^2}{s_k + \zeta}
          + \frac{|\phi_\mu|^2 - \sum_k (v_k^T \phi_\mu)^2}{\zeta} \Big]

R is scaled to 1 on average over the training atoms, and cut where it exceeds 30: an error of
sqrt(30) times the usual one is as large as the coefficients themselves.

From R follow the standard deviations of the coefficients, which have
:math:`\sigma_n^2 = a_n + b_n R`, and what the training finds in held-out densities.

Everything here can be compiled by TorchScript and depends on nothing but torch.
"""

# no "from __future__ import annotations": TorchScript reads the annotations of this module

import torch

#: No atom is more uncertain than this many training atoms.
LARGEST = 30.0


class Rigidity(torch.nn.Module):
    """R of one species and lambda; large for atoms unlike those of the training set.

    Parameters
    ----------
    vectors
        Leading eigenvectors of C: (n_gates, n_tensors, n_vectors).
    inverses
        1 / (s_k + zeta): (n_vectors,).
    rest
        1 / zeta, or 0 if no eigenvector was left out.
    """

    vectors: torch.Tensor
    inverses: torch.Tensor
    rest: torch.Tensor

    def __init__(self, vectors: torch.Tensor, inverses: torch.Tensor, rest: float) -> None:
        super().__init__()
        self.n_tensors = vectors.shape[1]
        self.n_vectors = vectors.shape[2]
        self.largest = LARGEST
        self.register_buffer("vectors", vectors.reshape(vectors.shape[0], -1).clone())
        self.register_buffer("inverses", inverses.clone())
        self.register_buffer("rest", torch.tensor(rest, dtype=inverses.dtype))

    def forward(self, gates: torch.Tensor, tensors: torch.Tensor) -> torch.Tensor:
        """Gates (n_atoms, n_gates) and tensors (n_atoms, mu, n_tensors) -> R: (n_atoms,)."""
        mixing = torch.matmul(gates, self.vectors)
        mixing = mixing.reshape(gates.shape[0], self.n_tensors, self.n_vectors)
        squares = torch.bmm(tensors, mixing).square()  # [atom, mu, k]
        lengths = gates.square().sum(dim=1, keepdim=True) * tensors.square().sum(dim=2)
        beyond = torch.clamp(lengths - squares.sum(dim=2), min=0.0)
        rigidity = (torch.matmul(squares, self.inverses) + self.rest * beyond).mean(dim=1)
        return torch.clamp(rigidity, max=self.largest)

    def rescale(self, gates: torch.Tensor, tensors: torch.Tensor) -> None:
        """Make the mean over these atoms, those of the training set, 1."""
        self.largest = float("inf")
        mean = self.forward(gates, tensors).mean()
        self.inverses /= mean
        self.rest /= mean
        self.largest = LARGEST
