"""``Density``: an electron density that can be asked for values, moments and charges."""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from ase import Atoms, units
from numpy.typing import DTypeLike
from scipy.linalg import cho_factor, cho_solve

from ..basis import Basis, to_tensormap
from ..files import atomic_write
from ..structures import check_atoms, total_charge
from . import moments
from .charges import HirshfeldAtoms, hirshfeld_atoms, voronoi_charges, write_quadrature
from .electrostatics import quantities as electrostatics
from .evaluation.grid_task import GridTask
from .evaluation.points import evaluate_at_points
from .evaluation.terms import AtomTerms, density_terms
from .files import format_of, write_grid
from .frame import grid_frame
from .grid import Grid
from .pictures.plane import Drawable

if TYPE_CHECKING:
    from metatensor.torch import TensorMap

    from .difference import DensityDifference

#: Default bound for what is neglected in one term of one atom, e/bohr^3. All terms and
#: periodic images together then stay below 1e-9 e/Angstrom^3, in cells of any size.
TOLERANCE = 1e-12

#: Terms that reach over fewer steps of a grid are evaluated together.
_SMALLEST = 4.0

_DTYPES = {np.dtype(np.float64): torch.float64, np.dtype(np.float32): torch.float32}

_SCHEMA_VERSION = 1

#: What NumPy and we may run into in a file that is damaged, or no density at all.
_DAMAGE = (OSError, KeyError, TypeError, ValueError, EOFError, zipfile.BadZipFile, zlib.error)


class _UnknownSchemaError(ValueError):
    """A file of a version that this one does not read."""


class Density(Drawable):
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
            step = _charge_step(basis, atoms.numbers)
            self.coefficients = _read_only(raw + self.normalization * step)

    def __repr__(self) -> str:
        return (
            f"Density({self.atoms.get_chemical_formula()!r}, {len(self.coefficients)} functions, "
            f"{self.number_of_electrons:.6f} electrons)"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        # built anew, because pickle would forget that the arrays are read-only
        return _rebuild, (self.atoms, self.basis, self.raw_coefficients, self._is_normalized)

    def __sub__(self, other: Density) -> DensityDifference:
        from .difference import DensityDifference

        if not isinstance(other, Density):
            return NotImplemented
        return DensityDifference(self, other)

    def free_atoms(self) -> Density:
        """The superposition of free atoms at the same places.

        ``rho - rho.free_atoms()`` is the deformation density: what bonding changes.
        """
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
            densities of the basis; see :meth:`hirshfeld` for more than the charges.
            ``"voronoi"``: the deformation density in the region nearest to each atom.
        level
            Quality of the quadrature, 0 to 5.
        """
        if scheme == "hirshfeld":
            return hirshfeld_atoms(self, level=level).charges
        if scheme == "voronoi":
            return voronoi_charges(self, level=level)
        raise ValueError(f'scheme is {scheme!r}: give "hirshfeld" or "voronoi"')

    def hirshfeld(self, *, level: int = 3) -> HirshfeldAtoms:
        """Charges, dipoles and volumes of Hirshfeld's atoms.

        ``level`` is the quality of the quadrature, 0 to 5.
        """
        return hirshfeld_atoms(self, level=level)

    # values ------------------------------------------------------------------------

    def evaluate(self, points: Any, *, tolerance: float = TOLERANCE) -> np.ndarray:
        """Density at points (n, 3) in Angstrom: shape (n,), e/Angstrom^3.

        ``tolerance`` bounds what is neglected in each term, in e/bohr^3.
        """
        return self._at_points(points, "value", tolerance) / units.Bohr**3

    def gradient(self, points: Any, *, tolerance: float = TOLERANCE) -> np.ndarray:
        """Gradient at points (n, 3) in Angstrom: shape (n, 3), e/Angstrom^4."""
        return self._at_points(points, "gradient", tolerance) / units.Bohr**4

    def laplacian(self, points: Any, *, tolerance: float = TOLERANCE) -> np.ndarray:
        """Laplacian at points (n, 3) in Angstrom: shape (n,), e/Angstrom^5."""
        return self._at_points(points, "laplacian", tolerance) / units.Bohr**5

    def on_grid(
        self,
        spacing: float = 0.1,
        margin: float = 3.0,
        *,
        shape: tuple[int, int, int] | None = None,
        tolerance: float = TOLERANCE,
        core: str = "point",
        dtype: DTypeLike = np.float64,
        progress: bool = False,
    ) -> Grid:
        """Density on a uniform grid: over the cell, or over a box around a molecule.

        Parameters
        ----------
        spacing
            Largest distance of neighbouring points along an axis, Angstrom.
        margin
            Space beyond the outermost nuclei in directions that are not periodic,
            Angstrom.
        shape
            Points along each axis, instead of ``spacing``.
        tolerance
            Bound for what is neglected in each term, e/bohr^3. 1e-6, with errors of some
            1e-6 to 1e-5 e/bohr^3, is enough for pictures and takes 60 to 80 % of the time.
        core
            ``"point"``: values at the points. Their sum misses electrons of the cores, which
            are narrower than voxels: an electron of the 26 of ethanol at 0.2 Angstrom.
            ``"voxel-average"``: narrow functions are averaged over the voxel around each
            point, so that the sum keeps their electrons, but the values next to nuclei are no
            longer those of the density. Orthogonal grids only.
        dtype
            ``float64`` or ``float32``. Single precision takes half of the memory; values are
            right to some 1e-7 of the largest one, which is at a nucleus.
        progress
            Show a bar on a terminal if it takes longer than some seconds.
        """
        frame = grid_frame(self.atoms, spacing, margin, shape)
        return self.on_frame(frame, tolerance=tolerance, core=core, dtype=dtype, progress=progress)

    def on_frame(
        self,
        frame: Grid,
        *,
        tolerance: float = TOLERANCE,
        core: str = "point",
        dtype: DTypeLike = np.float64,
        progress: bool = False,
    ) -> Grid:
        """Density at the points of another grid, whose values are ignored.

        The options are those of :meth:`on_grid`.
        """
        task = self._grid_task(frame, tolerance, core, dtype)
        values = task.values(progress=progress)
        values *= 1 / units.Bohr**3  # as the slabs of iterate_frame, to the last digit
        return Grid(values, frame.origin, frame.cell)

    def iterate_grid(
        self,
        spacing: float = 0.1,
        margin: float = 3.0,
        *,
        shape: tuple[int, int, int] | None = None,
        tolerance: float = TOLERANCE,
        core: str = "point",
        dtype: DTypeLike = np.float64,
        progress: bool = False,
        memory: float = 2**28,
    ) -> Iterator[tuple[range, np.ndarray]]:
        """The grid of :meth:`on_grid` in slabs along the first axis, in order.

        For grids that do not fit into memory, or are written as they come. Where the grid
        lies is said by :func:`~ase_rholearn.density.grid_frame`.

        Parameters
        ----------
        spacing, margin, shape, tolerance, core, dtype
            As for :meth:`on_grid`.
        progress
            Show a bar on a terminal if it takes longer than some seconds.
        memory
            Bytes that the values of one slab may take; the work needs some 200 MB besides.

        Yields
        ------
        range
            Indices i of the planes.
        numpy.ndarray
            Their values in e/Angstrom^3: shape (len(range), ny, nz). Every slab is an array
            of its own.
        """
        frame = grid_frame(self.atoms, spacing, margin, shape)
        return self.iterate_frame(
            frame, tolerance=tolerance, core=core, dtype=dtype, progress=progress, memory=memory
        )

    def iterate_frame(
        self,
        frame: Grid,
        *,
        tolerance: float = TOLERANCE,
        core: str = "point",
        dtype: DTypeLike = np.float64,
        progress: bool = False,
        memory: float = 2**28,
    ) -> Iterator[tuple[range, np.ndarray]]:
        """Like :meth:`iterate_grid`, at the points of another grid, whose values are ignored."""
        if not memory > 0:
            raise ValueError(f"memory is {memory}: give a positive number of bytes")
        return self._grid_task(frame, tolerance, core, dtype).iterate(
            memory, scale=1 / units.Bohr**3, progress=progress
        )

    # electrostatics ----------------------------------------------------------------

    def potential(self, points: Any) -> np.ndarray:
        """Electrostatic potential of nuclei and electrons at points (n, 3) in Angstrom.

        In closed form; infinite at a nucleus. For molecules it goes to zero far away; for
        crystals, whose point nuclei (or cores) keep their whole potential, its average over
        the cell is zero.

        Returns
        -------
        numpy.ndarray
            Shape (n,), V: the energy of a positive unit charge in eV.

        Raises
        ------
        ValueError
            The cell is charged, or periodic in only one or two directions.
        """
        return electrostatics.potential(self, _check_points(points))

    def electric_field(self, points: Any) -> np.ndarray:
        """Electric field, minus the gradient of :meth:`potential`: shape (n, 3), V/Angstrom.

        Raises
        ------
        ValueError
            As for :meth:`potential`, or a point is at a nucleus.
        """
        return electrostatics.electric_field(self, _check_points(points))

    def potential_on_grid(
        self,
        spacing: float = 0.2,
        margin: float = 3.0,
        *,
        shape: tuple[int, int, int] | None = None,
    ) -> Grid:
        """:meth:`potential` on a uniform grid, see :meth:`on_grid`: V."""
        frame = grid_frame(self.atoms, spacing, margin, shape)
        return electrostatics.potential_on_frame(self, frame)

    def hartree_energy(self) -> float:
        """Coulomb energy of the electrons of a molecule with themselves: eV, in closed form."""
        return electrostatics.hartree_energy(self)

    def coulomb_interaction(self, other: Density) -> float:
        """Coulomb energy between two molecules, all nuclei and electrons: eV, in closed form.

        Of two fragments it is the electrostatic part of their interaction, with overlap.
        """
        return electrostatics.coulomb_interaction(self, other)

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
            self._write_npz(path)
            return
        frame = grid_frame(self.atoms, spacing, margin)
        slabs = self.iterate_frame(frame, core=core, progress=progress)
        write_grid(
            path,
            self.atoms,
            frame,
            comment=f"Electron density, {self.basis.kind}",
            metadata=self._metadata(spacing),
            slabs=(values for _, values in slabs),
        )

    def write_quadrature(self, path: str | os.PathLike[str], *, level: int = 4) -> None:
        """Write the density on a quadrature grid, for programs that divide it among atoms.

        denspart and horton-part's ``part-periodic`` read the file; see
        :mod:`ase_rholearn.density.charges.quadrature_file` for its arrays. Molecules only.
        ``level`` is the quality of the grid, 0 to 5.
        """
        write_quadrature(self, path, level=level)

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Density:
        """Read a ``.npz`` file of :meth:`write`."""
        path = Path(path)
        try:
            # opened here, because NumPy leaves damaged files open
            with path.open("rb") as stream, np.load(stream) as data:
                header = json.loads(bytes(data["header"]).decode())
                arrays = {name: data[name] for name in data.files}
            if header["schema"] != _SCHEMA_VERSION:
                raise _UnknownSchemaError(
                    f"{path} has schema {header['schema']!r}, this version reads "
                    f"{_SCHEMA_VERSION}: update ase_rholearn, or write the file again"
                )
            atoms = Atoms(
                arrays["numbers"],
                positions=arrays["positions"],
                cell=arrays["cell"],
                pbc=arrays["pbc"],
                info={"charge": header["charge"]} if header["charge"] else {},
            )
            return cls(
                atoms,
                Basis.from_dict(header["basis"]),
                arrays["raw_coefficients"],
                normalize=header["normalized"],
            )
        except (FileNotFoundError, _UnknownSchemaError):
            raise
        except _DAMAGE as error:
            raise ValueError(
                f"{path} is not a density file of ase_rholearn, or it is damaged: give a "
                ".npz file of Density.write"
            ) from error

    @classmethod
    def from_pyscf(cls, mean_field: Any, basis: Basis, *, metric: str = "coulomb") -> Density:
        """Fit the density of a finished closed-shell PySCF run; needs PySCF."""
        # the fit lives above this room: only this convenience reaches up, when it is called
        from ..references.pyscf import density_from_mean_field

        return density_from_mean_field(mean_field, basis, metric=metric)

    # inside ------------------------------------------------------------------------

    @property
    def _is_normalized(self) -> bool:
        return self.coefficients is not self.raw_coefficients

    @property
    def _expected_electrons(self) -> float:
        return float(self.core_charges.sum() - self._charge)

    def _count(self, coefficients: np.ndarray) -> float:
        numbers = self.atoms.numbers
        baseline = self.basis.baseline_electrons(numbers).sum()
        return float(baseline + self.basis.electrons(numbers) @ coefficients)

    def _geometry(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Atomic numbers, positions and cell, the latter two in bohr."""
        atoms = self.atoms
        return atoms.numbers, atoms.positions / units.Bohr, atoms.cell.array / units.Bohr

    def _terms(
        self,
        tolerance: float,
        *,
        baseline: bool = True,
        smallest: float = 0.0,
    ) -> list[AtomTerms]:
        if not tolerance > 0:
            raise ValueError(f"tolerance is {tolerance}: give a positive density in e/bohr^3")
        numbers, positions, _ = self._geometry()
        return density_terms(
            self.basis,
            numbers,
            positions,
            self.coefficients,
            tolerance=tolerance,
            baseline=baseline,
            smallest=smallest,
        )

    def _grid_task(self, frame: Grid, tolerance: float, core: str, dtype: DTypeLike) -> GridTask:
        if core not in ("point", "voxel-average"):
            raise ValueError(f'core is {core!r}: give "point" or "voxel-average"')
        if np.dtype(dtype) not in _DTYPES:
            raise ValueError(f"dtype is {dtype!r}: give float64 or float32")
        _, _, lattice = self._geometry()
        cell = frame.cell / units.Bohr
        steps = np.linalg.norm(cell, axis=1) / frame.shape
        return GridTask(
            self._terms(tolerance, smallest=_SMALLEST * float(steps.max())),
            frame.origin / units.Bohr,
            cell,
            frame.shape,
            lattice,
            self.atoms.pbc,
            average=core == "voxel-average",
            dtype=_DTYPES[np.dtype(dtype)],
            tolerance=tolerance,
        )

    def _at_points(self, points: Any, derivative: str, tolerance: float) -> np.ndarray:
        points = _check_points(points)
        _, _, cell = self._geometry()
        terms = self._terms(tolerance)
        return evaluate_at_points(
            terms, points / units.Bohr, cell, self.atoms.pbc, derivative=derivative
        )

    def _metadata(self, spacing: float) -> dict[str, Any]:
        """What a file of a grid says of the density."""
        return {
            "quantity": "electron density",
            "kind": self.basis.kind,
            "basis": self.basis.name,
            "charge": self.charge,
            "electrons": self.number_of_electrons,
            "spacing": spacing,
        }

    def _write_npz(self, path: str | os.PathLike[str]) -> None:
        header = {
            "schema": _SCHEMA_VERSION,
            "basis": self.basis.to_dict(),
            "charge": self.charge,
            "normalized": self._is_normalized,
            "units": {"positions": "Angstrom", "coefficients": "e/bohr^1.5"},
        }
        with atomic_write(path) as stream:
            np.savez_compressed(
                stream,
                header=np.frombuffer(json.dumps(header).encode(), dtype=np.uint8),
                numbers=self.atoms.numbers,
                positions=self.atoms.positions,
                cell=self.atoms.cell.array,
                pbc=self.atoms.pbc,
                coefficients=self.coefficients,
                raw_coefficients=self.raw_coefficients,
            )


def _check_points(points: Any) -> np.ndarray:
    """Points as an array (n, 3), after checks."""
    points = np.asarray(points, dtype=float)
    if points.ndim != 2 or points.shape[1] != 3:
        raise ValueError(f"points has shape {points.shape}: give (n, 3) in Angstrom")
    if not np.isfinite(points).all():
        raise ValueError("points contains NaN or infinity: give finite coordinates")
    return points


def _rebuild(atoms: Atoms, basis: Basis, raw_coefficients: np.ndarray, normalize: bool) -> Density:
    return Density(atoms, basis, raw_coefficients, normalize=normalize)


def _frozen(atoms: Atoms) -> Atoms:
    """A copy whose arrays cannot be written to."""
    atoms = atoms.copy()
    for array in (*atoms.arrays.values(), atoms.cell.array, atoms.pbc):
        array.setflags(write=False)
    return atoms


def _charge_step(basis: Basis, numbers: np.ndarray) -> np.ndarray:
    """Change of the coefficients that adds one electron: shape (size,).

    It minimises the sum of the on-site Coulomb self-interactions of the change:
    dc_A = lambda J_AA^-1 n_A, with one lambda for the structure.
    """
    species_steps = {}
    for z in set(numbers.tolist()):
        shells = basis.radial_functions(z, 0)
        step = np.zeros(basis.sizes[z])
        if shells:
            per_function = basis.electrons([z])
            coulomb = basis.radial_metric(z, 0, "coulomb")
            step[: len(shells)] = cho_solve(cho_factor(coulomb), per_function[: len(shells)])
        species_steps[z] = step
    total = np.concatenate([species_steps[int(z)] for z in numbers])
    electrons = basis.electrons(numbers) @ total
    if not electrons > 0:
        raise ValueError(
            f"the basis {basis.name!r} has no s functions on these species, so that the charge "
            "cannot be corrected: use normalize=False"
        )
    return total / electrons


def _read_only(array: np.ndarray) -> np.ndarray:
    array.setflags(write=False)
    return array
