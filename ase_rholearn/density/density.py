"""``Density``: an electron density that can be asked for values, moments and charges."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms, units

from ..basis import Basis, to_tensormap
from ..structures import check_atoms, total_charge
from . import moments
from .charges import (
    SCHEMES,
    BaderAtoms,
    HirshfeldAtoms,
    MolecularDipoles,
    bader_atoms,
    hirshfeld_atoms,
    molecular_dipoles,
    voronoi_charges,
    write_quadrature,
)
from .electrostatics import energies
from .electrostatics.potential import AtomCharge, atom_charges
from .evaluation.terms import AtomTerms, density_terms
from .field import DensityField
from .files import format_of
from .files.coefficients import read_coefficients, write_coefficients
from .normalization import charge_step
from .pictures.drawable import saved
from .pictures.space import draw_potential
from .pictures.surface import MOLECULAR, SurfacePotential, surface_potential

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from metatensor.torch import TensorMap

    from .difference import DensityDifference


class Density(DensityField):
    r"""Electron density :math:`\rho(r) = \sum_A \rho_{Z_A}(|r - R_A|) + \sum_b c_b \phi_b(r)`.

    In ASE's units: points in Angstrom, densities in electrons per Angstrom^3 (positive),
    dipoles in e Angstrom. Coefficients are in e/bohr^1.5.

    Parameters
    ----------
    atoms
        The structure; periodic directions are those of ``atoms.pbc``. The total charge is
        ``atoms.info["charge"]`` or the sum of its initial charges.
    basis
        The functions phi_b and the atomic densities rho_Z.
    coefficients
        Flat vector, see :meth:`Basis.layout`.
    normalize
        Correct the coefficients so that they hold the right number of electrons, as
        little as possible in the Coulomb metric of each atom. What was given stays in
        ``raw_coefficients``.

    A density does not change: its arrays, those of ``atoms`` included, are read-only.
    ``rho.atoms.copy()`` is a structure to work on.

    Attributes
    ----------
    atoms : ase.Atoms
    basis : Basis
    coefficients : numpy.ndarray
    raw_coefficients : numpy.ndarray
    normalization : float
        Electrons that ``normalize`` added.

    Examples
    --------
    >>> from ase.build import molecule
    >>> basis = Basis.from_shells({"O": [(0, [1.0])], "H": [(0, [0.5])]})
    >>> rho = Density(molecule("H2O"), basis, [4.0, 1.0, 1.0])
    >>> round(rho.number_of_electrons, 8)
    10.0
    >>> rho.evaluate([[0.0, 0.0, 0.0]]).shape
    (1,)
    """

    def __init__(
        self, atoms: Atoms, basis: Basis, coefficients: Any, *, normalize: bool = True
    ) -> None:
        check_atoms(atoms)
        if not isinstance(basis, Basis):
            raise TypeError(f"basis is a {type(basis).__name__}: give an ase_rholearn.Basis")
        self.atoms = _frozen(atoms)
        self.basis = basis
        self._charge = total_charge(atoms)
        raw = np.array(basis.check_coefficients(atoms.numbers, coefficients))
        self.raw_coefficients = _read_only(raw)
        self.normalization = 0.0
        self.coefficients = self.raw_coefficients
        if self._expected_electrons < 0:
            raise ValueError(
                f"the total charge is {self._charge} but the nuclei have only "
                f"{self.core_charges.sum():g}: correct atoms.info['charge'] or initial_charges"
            )
        if normalize:
            self.normalization = self._expected_electrons - self._count(raw)
            step = charge_step(basis, atoms.numbers)
            self.coefficients = _read_only(raw + self.normalization * step)

    def __repr__(self) -> str:
        return (
            f"Density({self.atoms.get_chemical_formula()!r}, {len(self.coefficients)} functions, "
            f"{self.number_of_electrons:.6f} electrons)"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        # built anew, because pickle would forget that the arrays are read-only
        arguments = {
            "atoms": self.atoms,
            "basis": self.basis,
            "coefficients": self.raw_coefficients,
            "normalize": self.is_normalized,
        }
        return _rebuild, (arguments,)

    @property
    def is_normalized(self) -> bool:
        """Whether the number of electrons was corrected."""
        return self.coefficients is not self.raw_coefficients

    def __sub__(self, other: Density) -> DensityDifference:
        from .difference import DensityDifference

        if not isinstance(other, Density):
            return NotImplemented
        return DensityDifference(self, other)

    def on_atoms(self) -> Density:
        """The same density with mean atoms, if the basis has them, for its atomic densities."""
        if not self.basis.mean_atoms:
            return self
        rest = self.coefficients - self.basis.mean_vector(self.atoms.numbers)
        return Density(self.atoms, self.basis.on_mean_atoms(), rest, normalize=False)

    def free_atoms(self) -> Density:
        """The superposition of free atoms at the same places.

        ``rho - rho.free_atoms()`` is the deformation density: what bonding changes.
        """
        if self.basis.mean_atoms:
            mean = self.basis.mean_vector(self.atoms.numbers)
            return Density(self.atoms, self.basis, mean, normalize=False)
        if not self.basis.atomic_densities:
            raise ValueError(
                f"the basis {self.basis.name!r} has no atomic densities: use a basis that has "
                "them, see Basis.with_atomic_densities"
            )
        zero = np.zeros(len(self.coefficients))
        return Density(self.atoms, self.basis, zero, normalize=False)

    # moments -----------------------------------------------------------------------

    @property
    def charge(self) -> int:
        """Total charge of the structure in e."""
        return self._charge

    @property
    def core_charges(self) -> np.ndarray:
        """Positive charge of each atom that the density surrounds: shape (natoms,), e."""
        return np.array([self.basis.core_charge(int(z)) for z in self.atoms.numbers])

    @property
    def number_of_electrons(self) -> float:
        """Integral over space (over the cell, if periodic), in closed form."""
        return self._count(self.coefficients)

    def dipole(self) -> np.ndarray:
        """Dipole moment of nuclei and electrons: (3,) e Angstrom, in closed form.

        For ions about the centre of nuclear charge.

        Raises
        ------
        ValueError
            The structure is periodic: its dipole is not defined.
        """
        if self.atoms.pbc.any():
            raise ValueError(
                f"atoms.pbc is {self.atoms.pbc.tolist()}: the dipole moment of a periodic "
                "structure is not defined; set pbc=False if this is a molecule in a box"
            )
        numbers, positions = self.atoms.numbers, self.atoms.positions
        cores = self.core_charges
        origin = cores @ positions / cores.sum()
        layout = self.basis.layout(numbers)
        monopoles = cores - self.basis.baseline_electrons(numbers)
        on_atoms = self.basis.electrons(numbers) * self.coefficients
        monopoles = monopoles - np.bincount(layout.atom, on_atoms, minlength=len(numbers))
        shapes = self.coefficients @ self.basis.dipoles(numbers) * units.Bohr
        return monopoles @ (positions - origin) - shapes

    def quadrupole(self, *, traceless: bool = True, origin: Any = None) -> np.ndarray:
        """Quadrupole moment of nuclei and electrons: (3, 3) e Angstrom^2, in closed form.

        Parameters
        ----------
        traceless
            Buckingham's sum of q (3 r_i r_j - r^2 delta_ij) / 2; if False the plain second
            moments, the sum of q r_i r_j.
        origin
            Angstrom; the centre of nuclear charge if left out.

        Raises
        ------
        ValueError
            The structure is periodic: its moments are not defined.
        """
        return moments.quadrupole(self, traceless=traceless, origin=origin)

    def octupole(self, *, traceless: bool = True, origin: Any = None) -> np.ndarray:
        """Octupole moment of nuclei and electrons: (3, 3, 3) e Angstrom^3, in closed form.

        Parameters
        ----------
        traceless
            Buckingham's sum of q [5 r_i r_j r_k - r^2 (r_i delta_jk + r_j delta_ik +
            r_k delta_ij)] / 2; if False the plain third moments, the sum of q r_i r_j r_k.
        origin
            Angstrom; the centre of nuclear charge if left out.

        Raises
        ------
        ValueError
            The structure is periodic: its moments are not defined.
        """
        return moments.octupole(self, traceless=traceless, origin=origin)

    def charges(self, scheme: str = "hirshfeld", *, level: int = 3) -> np.ndarray:
        """Partial charges: shape (natoms,), e; they add up to the total charge.

        Parameters
        ----------
        scheme
            ``"hirshfeld"``: shares in proportion to the free atoms, which are the atomic
            densities of the basis, or its mean atoms; see :meth:`hirshfeld` for more than the
            charges.
            ``"voronoi"``: the deformation density in the region nearest to each atom.
            ``"bader"``: the density in the region of each maximum; see :meth:`bader`.
        level
            Quality of the quadrature, 0 to 5; Bader's atoms have a grid instead.
        """
        if scheme not in SCHEMES:
            raise ValueError(f"scheme is {scheme!r}: give one of {', '.join(SCHEMES)}")
        if scheme == "bader":
            return bader_atoms(self).charges
        if scheme == "voronoi":
            return voronoi_charges(self.on_atoms(), level=level)
        return self.hirshfeld(level=level).charges

    def bader(self, *, spacing: float = 0.08) -> BaderAtoms:
        """Charges and volumes of Bader's atoms, on a grid of this spacing in Angstrom."""
        return bader_atoms(self, spacing=spacing)

    def hirshfeld(self, *, level: int = 3) -> HirshfeldAtoms:
        """Charges, dipoles and volumes of Hirshfeld's atoms.

        ``level`` is the quality of the quadrature, 0 to 5.
        """
        return hirshfeld_atoms(self.on_atoms(), level=level)

    # electrostatics ----------------------------------------------------------------

    def surface_potential(
        self, isovalue: float = MOLECULAR, *, spacing: float = 0.15
    ) -> SurfacePotential:
        """The potential on a surface of the density, with statistics; needs scikit-image.

        Parameters
        ----------
        isovalue
            e/Angstrom^3; 0.002 e/bohr^3 if left out.
        spacing
            Of the vertices, roughly: Angstrom.
        """
        return surface_potential(self, isovalue, spacing=spacing)

    def plot_potential(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        isovalue: float = MOLECULAR,
        limit: float | None = None,
        normal: Sequence[float] | None = None,
        opacity: float = 0.9,
        pixels: int = 800,
        title: str = "",
        ax: Axes | None = None,
    ) -> Axes:
        """Draw the potential on a surface of the density; needs ``ase-rholearn[view]``.

        Blue where positive, orange and with dashed contours where negative.

        Parameters
        ----------
        path
            Picture file to write. Left out: only draw.
        isovalue
            Of the surface, e/Angstrom^3; 0.002 e/bohr^3 if left out.
        limit
            End of the colour scale, V. Left out: the largest value on the surface.
        normal, opacity, pixels, title, ax
            As for :meth:`plot_isosurface`.

        Returns
        -------
        matplotlib.axes.Axes
        """
        return saved(
            draw_potential(self, isovalue, limit, normal, opacity, pixels, title, ax), path
        )

    def hartree_energy(self) -> float:
        """Coulomb energy of the electrons with themselves: eV, in closed form.

        Of a crystal per cell, with a constant background that makes it neutral.
        """
        return energies.hartree_energy(self)

    def electrostatic_energy(self) -> float:
        """Coulomb energy of nuclei and electrons together: eV, of a crystal per cell.

        Raises
        ------
        ValueError
            The cell is charged, or periodic in one or two directions only.
        """
        return energies.electrostatic_energy(self)

    def coulomb_interaction(self, other: Density) -> float:
        """Coulomb energy between two molecules, all nuclei and electrons: eV, in closed form.

        Of two fragments it is the electrostatic part of their interaction, with overlap.
        """
        return energies.coulomb_interaction(self, other)

    # conversion and files ----------------------------------------------------------

    def to_tensormap(self) -> TensorMap:
        """Coefficients as a metatensor TensorMap, see :mod:`ase_rholearn.basis.tensormap`."""
        return to_tensormap(self.basis, [self.atoms.numbers], [self.coefficients])

    def write(
        self,
        path: str | os.PathLike[str],
        *,
        spacing: float = 0.1,
        margin: float = 3.0,
        core: str = "point",
        progress: bool = False,
    ) -> None:
        """Write to a file whose name says how.

        ``.npz``: structure, basis and coefficients, without loss; see :meth:`read`.
        Otherwise the density on a grid, in the formats of
        :func:`~ase_rholearn.density.write_grid`: cube, CHGCAR, XSF, HDF5. The grid is written
        as it is computed, so that it need not fit into memory; ``spacing``, ``margin``,
        ``core`` and ``progress`` as for :meth:`on_grid`.
        """
        if format_of(path) == "npz":
            write_coefficients(path, self)
        else:
            super().write(path, spacing=spacing, margin=margin, core=core, progress=progress)

    def molecular_dipoles(self, *, level: int = 3) -> MolecularDipoles:
        """Dipole moments of molecules in a liquid or crystal, by Hirshfeld's atoms.

        An approximation: a periodic density alone does not define them. ``level`` is the
        quality of the quadrature, 0 to 5.
        """
        return molecular_dipoles(self.on_atoms(), level=level)

    def write_quadrature(self, path: str | os.PathLike[str], *, level: int = 4) -> None:
        """Write the density on a quadrature grid, for programs that divide it among atoms.

        denspart and horton-part's ``part-periodic`` read the file; see
        :mod:`ase_rholearn.density.charges.quadrature_file` for its arrays.
        ``level`` is the quality of the grid, 0 to 5.
        """
        write_quadrature(self.on_atoms(), path, level=level)

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Density:
        """Read a ``.npz`` file of :meth:`write`."""
        return cls(**read_coefficients(path))

    @classmethod
    def from_pyscf(cls, mean_field: Any, basis: Basis, *, metric: str = "coulomb") -> Density:
        """Fit the density of a finished closed-shell PySCF run; needs PySCF."""
        # the fit lives above this room: only this convenience reaches up, when it is called
        from ..references.pyscf import density_from_mean_field

        return density_from_mean_field(mean_field, basis, metric=metric)

    def atom_terms(self, tolerance: float, smallest: float = 0.0) -> list[AtomTerms]:
        """What is summed up, see :func:`density_terms`; in atomic units."""
        return density_terms(
            self.basis,
            self.atoms.numbers,
            self.atoms.positions / units.Bohr,
            self.coefficients,
            tolerance=tolerance,
            smallest=smallest,
        )

    def atom_charges(self) -> list[AtomCharge]:
        """Nuclei and electrons of each atom as a distribution of charge, in atomic units."""
        positions = self.atoms.positions / units.Bohr
        return atom_charges(
            self.basis, self.atoms.numbers, positions, self.coefficients, self.core_charges
        )

    # inside ------------------------------------------------------------------------

    @property
    def _expected_electrons(self) -> float:
        return float(self.core_charges.sum() - self._charge)

    def _count(self, coefficients: np.ndarray) -> float:
        numbers = self.atoms.numbers
        baseline = self.basis.baseline_electrons(numbers).sum()
        return float(baseline + self.basis.electrons(numbers) @ coefficients)

    def _metadata(self) -> dict[str, Any]:
        return {
            "quantity": f"electron density, {self.basis.kind}",
            "kind": self.basis.kind,
            "basis": self.basis.name,
            "charge": self.charge,
            "electrons": self.number_of_electrons,
        }


def _rebuild(arguments: dict[str, Any]) -> Density:
    return Density(**arguments)


def _frozen(atoms: Atoms) -> Atoms:
    """A copy whose arrays cannot be written to."""
    atoms = atoms.copy()
    for array in (*atoms.arrays.values(), atoms.cell.array, atoms.pbc):
        array.setflags(write=False)
    return atoms


def _read_only(array: np.ndarray) -> np.ndarray:
    array.setflags(write=False)
    return array
