"""Direct minimisation of the Kohn-Sham energy of a closed shell. Atomic units. Needs PySCF.

The orbitals are rotations of orthonormal ones,

    C(x) = C_0 exp([[0, -x^T], [x, 0]]),

with one number x_ai for each pair of an occupied and an empty orbital (T. Van Voorhis and
M. Head-Gordon, Mol. Phys. 100, 1713 (2002)). Without constraints on x any optimiser can
minimise E(C(x)); here it is L-BFGS, whose line search never lets the energy rise. Derivatives
pass through the exponential by autograd. The variables are scaled by the square root of the
orbital part of the Hessian, 4 (e_a - e_i), and the rotations start anew from the present
orbitals every now and then.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.linalg import block_diag, eigh

from .functionals import Functional, potential, potential_matrix

#: Density matrix (nao, nao) to energy and Fock matrix, its derivative.
EnergyAndFock = Callable[[np.ndarray], tuple[float, np.ndarray]]

#: Differences of orbital energies (Hartree) count as if they were this large at least.
_SMALLEST_GAP = 0.2

#: Steps of the optimiser from one set of orbitals.
_STEPS = 20

#: Fock matrices after which another filling must have led to a lower energy.
_TRIAL = 40

#: Density matrices that differ by less are the same.
_SAME = 1e-13

#: Fock matrices that one line search may take.
_LINE_SEARCH = 25

#: A minimum is another one if its energy is lower by this, Hartree.
_LOWER = 1e-7

#: Deviation of an eigenvalue of D S / 2 from 0 and 1 up to which D is that of orbitals.
_IDEMPOTENT = 1e-6


@dataclass(frozen=True)
class Minimum:
    """Where a minimisation ended.

    Attributes
    ----------
    energy
        Total energy, Hartree.
    orbitals
        Canonical among the occupied and among the empty ones: (nao, nmo).
    orbital_energies
        (nmo,) Hartree.
    n_occupied
        Doubly occupied orbitals, which come first.
    gradient
        Norm of dE/dx, Hartree.
    evaluations
        Fock matrices that were built.
    converged
        Whether the gradient is below the tolerance.
    """

    energy: float
    orbitals: np.ndarray
    orbital_energies: np.ndarray
    n_occupied: int
    gradient: float
    evaluations: int
    converged: bool

    @property
    def density_matrix(self) -> np.ndarray:
        """(nao, nao)."""
        occupied = self.orbitals[:, : self.n_occupied]
        return 2 * occupied @ occupied.T

    @property
    def gap(self) -> float:
        """Lowest empty less highest occupied orbital energy, Hartree; inf if none is empty.

        Negative where the minimum is not the filling that a diagonalisation chooses, which no
        self-consistent field with integer occupations can find.
        """
        return _gap(self.orbital_energies, self.n_occupied)


def minimize_energy(
    mean_field: Any,
    guess: np.ndarray | None = None,
    *,
    functional: Functional | None = None,
    tolerance: float = 1e-5,
    max_evaluations: int = 500,
) -> Minimum:
    """Minimise the energy of a closed-shell molecule in its orbital basis.

    For structures whose self-consistent field does not converge; for others it needs about as
    many Fock matrices. Where an empty orbital of the minimum lies below an occupied one, other
    fillings are tried too, and the lowest energy is kept. A saddle point without such a pair of
    orbitals, which symmetry may lead to, is not noticed.

    Parameters
    ----------
    mean_field
        PySCF's RKS or RHF object, with any functional; it need not have run.
    guess
        Density matrix to start from (nao, nao): that of
        :func:`~ase_rholearn.scf.one_shot_orbitals` is C C^T. Left out: PySCF's own guess.
        Where it is not that of orbitals, one diagonalisation makes it so.
    functional
        Of :mod:`ase_rholearn.scf.functionals`, instead of that of ``mean_field``, which
        then gives the Coulomb integrals and the grid.
    tolerance
        Norm of the gradient to reach, Hartree; the energy's error is of second order in it.
    max_evaluations
        Fock matrices after which it gives up; the result says so.

    Raises
    ------
    ValueError
        Open shells, crystals, or a guess of the wrong shape.
    """
    _check(mean_field, guess, tolerance)
    evaluate = _Counted(
        mean_field_energy(mean_field)
        if functional is None
        else functional_energy(mean_field, functional)
    )
    matrix = mean_field.get_init_guess() if guess is None else guess
    n_occupied = mean_field.mol.nelectron // 2
    orbitals = _starting_orbitals(
        evaluate, mean_field.get_ovlp(), np.asarray(matrix, dtype=float), n_occupied
    )
    point = _minimum(evaluate, orbitals, n_occupied, tolerance, max_evaluations)
    while point.gap < 0 and evaluate.count < max_evaluations:
        lower = _lower_filling(evaluate, point, tolerance, max_evaluations)
        if lower is None:
            break
        point = lower
    return Minimum(
        point.energy,
        point.orbitals,
        point.orbital_energies,
        n_occupied,
        point.gradient,
        evaluate.count,
        point.gradient < tolerance,
    )


def mean_field_energy(mean_field: Any) -> EnergyAndFock:
    """PySCF's own energy and Fock matrix, for Hartree-Fock and all functionals it has."""
    core = mean_field.get_hcore()

    def evaluate(matrix: np.ndarray) -> tuple[float, np.ndarray]:
        two_electrons = mean_field.get_veff(mean_field.mol, matrix)
        energy = mean_field.energy_tot(matrix, core, two_electrons)
        return float(energy), np.asarray(core + two_electrons)

    return evaluate


def functional_energy(mean_field: Any, functional: Functional) -> EnergyAndFock:
    """Energy and Fock matrix with exchange and correlation of ours, on the mean field's grid."""
    core, nuclear = mean_field.get_hcore(), mean_field.energy_nuc()
    molecule, grids, integrator = mean_field.mol, mean_field.grids, mean_field._numint
    if grids.coords is None:
        grids.build()
    kind, order = ("GGA", 1) if functional.needs_gradient else ("LDA", 0)

    def evaluate(matrix: np.ndarray) -> tuple[float, np.ndarray]:
        coulomb = mean_field.get_j(molecule, matrix)
        energy = nuclear + np.vdot(matrix, core + 0.5 * coulomb)
        fock = core + coulomb
        for values, _, weights, _ in integrator.block_loop(molecule, grids, molecule.nao, order):
            rows = integrator.eval_rho(molecule, values, matrix, xctype=kind)
            rho, slope = (rows, None) if kind == "LDA" else (rows[0], rows[1:4])
            sigma = None if slope is None else torch.from_numpy((slope**2).sum(axis=0))
            found = potential(functional, torch.from_numpy(rho), sigma)
            energy += weights @ found.energy_density.numpy()
            fock += potential_matrix(values.reshape(-1, *values.shape[-2:]), weights, found, slope)
        return float(energy), fock

    return evaluate


class _Counted:
    """Energy and Fock matrix, how often they were made, and the last of them.

    Every set of orbitals is met twice, at the end of a section of the way and at the start of
    the next.
    """

    def __init__(self, evaluate: EnergyAndFock) -> None:
        self._evaluate = evaluate
        self._last: tuple[np.ndarray, tuple[float, np.ndarray]] | None = None
        self.count = 0

    def __call__(self, matrix: np.ndarray) -> tuple[float, np.ndarray]:
        if self._last is None or np.abs(matrix - self._last[0]).max() > _SAME:
            self.count += 1
            self._last = matrix, self._evaluate(matrix)
        return self._last[1]


@dataclass(frozen=True)
class _Point:
    """Orbitals that are canonical within each kind, and what the energy does there."""

    energy: float
    orbitals: np.ndarray
    orbital_energies: np.ndarray
    n_occupied: int
    gradient: float

    @classmethod
    def of(cls, evaluate: EnergyAndFock, orbitals: np.ndarray, n_occupied: int) -> _Point:
        occupied = orbitals[:, :n_occupied]
        energy, fock = evaluate(2 * occupied @ occupied.T)
        matrix = orbitals.T @ fock @ orbitals
        kinds = slice(0, n_occupied), slice(n_occupied, None)
        energies, turns = zip(*(eigh(matrix[kind, kind]) for kind in kinds), strict=True)
        gradient = 4 * np.linalg.norm(matrix[kinds[1], kinds[0]])
        turned = orbitals @ block_diag(*turns)
        return cls(energy, turned, np.concatenate(energies), n_occupied, float(gradient))

    @property
    def gap(self) -> float:
        """Lowest empty less highest occupied orbital energy, Hartree."""
        return _gap(self.orbital_energies, self.n_occupied)

    @property
    def scale(self) -> torch.Tensor:
        """Square root of the orbital part of the Hessian: (n_empty, n_occupied)."""
        occupied, empty = np.split(self.orbital_energies, [self.n_occupied])
        gaps = np.abs(empty[:, None] - occupied)
        return torch.from_numpy(2 * np.sqrt(np.maximum(gaps, _SMALLEST_GAP)))


class _Energy(torch.autograd.Function):
    """Energy of occupied orbitals (nao, nocc); its derivative is 4 F C."""

    @staticmethod
    def forward(ctx: Any, occupied: torch.Tensor, evaluate: EnergyAndFock) -> torch.Tensor:
        array = occupied.detach().numpy()
        energy, fock = evaluate(2 * array @ array.T)
        ctx.save_for_backward(torch.from_numpy(4 * fock @ array))
        return torch.tensor(energy, dtype=torch.float64)

    @staticmethod
    def backward(ctx: Any, factor: torch.Tensor) -> Any:
        return factor * ctx.saved_tensors[0], None


def _minimum(
    evaluate: _Counted,
    orbitals: np.ndarray,
    n_occupied: int,
    tolerance: float,
    max_evaluations: int,
) -> _Point:
    """Where the way down from some orbitals ends."""
    while True:
        point = _Point.of(evaluate, orbitals, n_occupied)
        before = evaluate.count
        if point.gradient < tolerance or before >= max_evaluations:
            return point
        orbitals = _descend(evaluate, point, tolerance, max_evaluations)
        if evaluate.count == before:  # no step is small enough: the energy's digits are used up
            return point


def _lower_filling(
    evaluate: _Counted, point: _Point, tolerance: float, max_evaluations: int
) -> _Point | None:
    """A minimum of lower energy, if another filling leads to one within some steps."""
    tries = [
        _minimum(
            evaluate,
            orbitals,
            point.n_occupied,
            tolerance,
            min(max_evaluations, evaluate.count + _TRIAL),
        )
        for orbitals in _other_fillings(point)
    ]
    best = min(tries, key=lambda one: one.energy)
    if best.energy > point.energy - _LOWER:
        return None
    return _minimum(evaluate, best.orbitals, best.n_occupied, tolerance, max_evaluations)


def _other_fillings(point: _Point) -> list[np.ndarray]:
    """Orbitals with what is occupied chosen anew, where an empty one lies below it.

    Filled from below; and with the two at the gap mixed half and half, which leaves a saddle
    point that symmetry protects.
    """
    n = point.n_occupied
    filled = point.orbitals[:, np.argsort(point.orbital_energies, kind="stable")]
    mixed = point.orbitals.copy()
    highest, lowest = point.orbitals[:, n - 1], point.orbitals[:, n]
    mixed[:, n - 1], mixed[:, n] = highest + lowest, lowest - highest
    mixed[:, n - 1 : n + 1] *= np.sqrt(0.5)
    return [filled, mixed]


def _descend(
    evaluate: _Counted, point: _Point, tolerance: float, max_evaluations: int
) -> np.ndarray:
    """Orbitals of lower energy, after some steps of L-BFGS."""
    scale, start = point.scale, torch.from_numpy(point.orbitals)
    y = torch.zeros_like(scale, requires_grad=True)
    # one step at a time, which the optimiser goes on from; when to stop is decided here
    optimiser = torch.optim.LBFGS(
        [y],
        max_iter=1,
        max_eval=_LINE_SEARCH,
        tolerance_grad=0.0,
        tolerance_change=0.0,
        history_size=_STEPS,
        line_search_fn="strong_wolfe",
    )

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        turned = start @ _rotation(y / scale)[:, : point.n_occupied]
        energy = _Energy.apply(turned, evaluate)
        energy.backward()
        return energy.detach()

    for _ in range(_STEPS):
        optimiser.step(closure)
        closure()  # the gradient where the line search ended; mostly from memory
        assert y.grad is not None
        if torch.linalg.norm(y.grad * scale) < tolerance or evaluate.count >= max_evaluations:
            break
    with torch.no_grad():
        return (start @ _rotation(y / scale)).numpy()


def _gap(energies: np.ndarray, n_occupied: int) -> float:
    occupied, empty = np.split(energies, [n_occupied])
    both = len(occupied) and len(empty)
    return float(empty.min() - occupied.max()) if both else float("inf")


def _rotation(x: torch.Tensor) -> torch.Tensor:
    """exp([[0, -x^T], [x, 0]]): orthogonal."""
    n_empty, n_occupied = x.shape
    generator = x.new_zeros((n_empty + n_occupied,) * 2)
    generator[n_occupied:, :n_occupied] = x
    return torch.linalg.matrix_exp(generator - generator.T)


def _starting_orbitals(
    evaluate: EnergyAndFock, overlap: np.ndarray, matrix: np.ndarray, n_occupied: int
) -> np.ndarray:
    """Natural orbitals of a density matrix, or those of one diagonalisation: (nao, nmo)."""
    # S D S n = occupation S n
    occupations, orbitals = eigh(overlap @ matrix @ overlap, overlap)
    orbitals = orbitals[:, ::-1]
    expected = np.where(np.arange(len(occupations)) < n_occupied, 2.0, 0.0)
    if np.abs(occupations[::-1] - expected).max() > _IDEMPOTENT:
        orbitals = eigh(evaluate(matrix)[1], overlap)[1]
    return orbitals


def _check(mean_field: Any, guess: np.ndarray | None, tolerance: float) -> None:
    molecule = mean_field.mol
    if molecule.spin != 0 or mean_field.istype("UHF") or mean_field.istype("ROHF"):
        raise ValueError(
            f"mean_field is {type(mean_field).__name__} with {molecule.spin} unpaired electrons: "
            "only closed shells (RHF, RKS) are supported"
        )
    if hasattr(molecule, "lattice_vectors"):
        raise ValueError("mean_field is periodic: only molecules are supported")
    if guess is not None and np.shape(guess) != (molecule.nao,) * 2:
        raise ValueError(
            f"guess has shape {np.shape(guess)}: give a density matrix {(molecule.nao,) * 2}"
        )
    if not tolerance > 0:
        raise ValueError(f"tolerance is {tolerance}: give a positive norm in Hartree")
