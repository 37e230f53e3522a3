"""The auxiliary basis and the atomic baseline as PySCF molecules, and their integrals."""

from __future__ import annotations

from typing import Any

import numpy as np
from ase import Atoms, units
from ase.data import chemical_symbols

from ...basis import Basis, from_pyscf_order, pyscf_permutation
from ...basis.numerical import gaussian_density, gaussian_shells
from ...basis.shells import radial_moment

#: Doubles that one block of three-centre integrals may hold (256 MB).
_BLOCK_SIZE = 2**25

#: How far (Angstrom) the nuclei of a molecule may be from those of the structure; other codes'
#: bohr differs from ASE's in the tenth digit.
_SAME_POSITION = 1e-5

#: Overlaps of periodic images smaller than this are left out.
_NEGLIGIBLE = 1e-12

#: PySCF's names of the two-centre integrals of each metric.
_TWO_CENTRE = {"overlap": "int1e_ovlp", "coulomb": "int2c2e"}


def metric_integral(metric: str) -> str:
    """PySCF's two-centre integral of a metric, or an error that names the choices."""
    if metric not in _TWO_CENTRE:
        raise ValueError(f'metric is {metric!r}: give "coulomb" or "overlap"')
    return _TWO_CENTRE[metric]


def auxiliary_molecule(atoms: Atoms, basis: Basis) -> Any:
    """A PySCF Mole that carries the auxiliary functions of ``basis`` as its orbitals."""
    basis.check_species(atoms.numbers)
    entries = {
        chemical_symbols[z]: [
            [
                shell.l,
                *[
                    # PySCF wants the weights of normalised primitives
                    [a, d * np.sqrt(float(radial_moment(2 * a, 2 * shell.l + 2)))]
                    for a, d in zip(shell.exponents, shell.coefficients, strict=True)
                ],
            ]
            for shell in gaussian_shells(basis.shells[z], "auxiliary_molecule (PySCF)")
        ]
        for z in set(atoms.numbers.tolist())
    }
    return _molecule(atoms, entries)


def metric_matrix(atoms: Atoms, basis: Basis, metric: str = "overlap") -> np.ndarray:
    """Overlap (or Coulomb, in Hartree) matrix of the basis, in our order: (size, size).

    The overlap of a periodic structure is that with all images of each function.

    Raises
    ------
    ValueError
        The Coulomb matrix of a periodic structure, whose sum over images has no limit.
    """
    integral = metric_integral(metric)
    molecule = auxiliary_molecule(atoms, basis)
    if atoms.pbc.any() and metric != "overlap":
        raise ValueError(
            f'metric is "coulomb", but {atoms.get_chemical_formula()} is periodic: use "overlap"'
        )
    if atoms.pbc.any():
        matrix = _periodic_overlap(atoms, basis, molecule)
    else:
        matrix = molecule.intor(integral, hermi=1)
    order = pyscf_permutation(basis, atoms.numbers)
    return np.asarray(matrix[np.ix_(order, order)])


def _periodic_overlap(atoms: Atoms, basis: Basis, molecule: Any) -> np.ndarray:
    """Overlaps with all images that reach into the cell, in PySCF's order."""
    from pyscf import gto

    softest = min(
        min(shell.exponents)
        for z in set(atoms.numbers.tolist())
        for shell in gaussian_shells(basis.shells[z], "metric_matrix")
    )
    reach = np.sqrt(2 * -np.log(_NEGLIGIBLE) / softest) * units.Bohr
    total = np.zeros((molecule.nao,) * 2)
    for shift in _images(atoms, reach):
        image = atoms.copy()
        image.positions += shift
        total += gto.mole.intor_cross("int1e_ovlp", molecule, auxiliary_molecule(image, basis))
    return total


def _images(atoms: Atoms, reach: float) -> np.ndarray:
    """Lattice vectors by which the structure comes within reach of itself: (n, 3), Angstrom."""
    cell = np.where(atoms.pbc[:, None], atoms.cell.complete().array, 0.0)
    heights = 1 / np.linalg.norm(np.linalg.inv(atoms.cell.complete().array), axis=0)
    spread = np.linalg.norm(np.ptp(atoms.positions, axis=0))
    counts = np.where(atoms.pbc, np.ceil((reach + spread) / heights), 0).astype(int)
    ranges = [np.arange(-n, n + 1) for n in counts]
    shifts = np.stack(np.meshgrid(*ranges, indexing="ij"), axis=-1).reshape(-1, 3) @ cell
    return np.asarray(shifts[np.linalg.norm(shifts, axis=1) <= reach + spread])


def baseline_molecule(atoms: Atoms, basis: Basis) -> tuple[Any, np.ndarray]:
    """The atomic densities as a PySCF Mole of s functions, and their coefficients (nao,)."""
    densities = {
        z: gaussian_density(basis.atomic_densities[z], "baseline_molecule (PySCF)")
        for z in set(atoms.numbers.tolist())
    }
    exponents = {z: density.exponents for z, density in densities.items()}
    entries = {chemical_symbols[z]: [[0, [a, 1.0]] for a in e] for z, e in exponents.items()}
    # the normalised s function is sqrt(1 / integral) Y_00 exp(-a r^2)
    amplitudes = {
        z: np.array(densities[z].amplitudes)
        * np.sqrt(4 * np.pi * radial_moment(2 * np.array(e), 2))
        for z, e in exponents.items()
    }
    coefficients = np.concatenate([amplitudes[int(z)] for z in atoms.numbers])
    return _molecule(atoms, entries), coefficients


def baseline_projections(atoms: Atoms, basis: Basis, metric: str) -> np.ndarray:
    """(P | sum of atomic densities) for every auxiliary function P, in our order."""
    from pyscf import gto

    auxiliary = auxiliary_molecule(atoms, basis)
    if not basis.atomic_densities:
        return np.zeros(auxiliary.nao)
    gaussians, coefficients = baseline_molecule(atoms, basis)
    cross = gto.mole.intor_cross(metric_integral(metric), auxiliary, gaussians)
    return from_pyscf_order(basis, atoms.numbers, cross @ coefficients)


def check_same_atoms(molecule: Any, atoms: Atoms) -> None:
    """Raise a ValueError unless a PySCF molecule has the nuclei of ``atoms``, in order."""
    numbers = [chemical_symbols.index(molecule.atom_pure_symbol(i)) for i in range(molecule.natm)]
    positions = molecule.atom_coords() * units.Bohr
    if numbers == atoms.numbers.tolist() and np.allclose(
        positions, atoms.positions, rtol=0, atol=_SAME_POSITION
    ):
        return
    raise ValueError(
        f"molecule has other atoms than the structure ({atoms.get_chemical_formula()}), another "
        "order or other positions: build it from the same structure"
    )


def shell_blocks(starts: np.ndarray, n_pairs: int) -> list[tuple[int, int]]:
    """Ranges of auxiliary shells whose three-centre integrals fit into memory at once.

    Parameters
    ----------
    starts
        First function of each shell, and the number of functions: (n_shells + 1,).
    n_pairs
        Orbital pairs that each function is integrated with.
    """
    size = max(1, _BLOCK_SIZE // n_pairs)
    blocks, first = [], 0
    for shell in range(1, len(starts)):
        if starts[shell] - starts[first] > size and shell - 1 > first:
            blocks.append((first, shell - 1))
            first = shell - 1
    blocks.append((first, len(starts) - 1))
    return blocks


def _molecule(atoms: Atoms, entries: dict[str, Any]) -> Any:
    from pyscf import gto

    return gto.M(
        atom=pyscf_geometry(atoms), basis=entries, unit="B", spin=None, verbose=0, parse_arg=False
    )


def pyscf_geometry(atoms: Atoms) -> list[tuple[str, tuple[float, float, float]]]:
    """Symbols and positions in bohr (ASE's bohr), for PySCF with ``unit="B"``."""
    positions = atoms.positions / units.Bohr
    return [
        (chemical_symbols[z], tuple(r))
        for z, r in zip(atoms.numbers, positions.tolist(), strict=True)
    ]
