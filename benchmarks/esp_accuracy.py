"""Electrostatic potential and Hirshfeld charges of fitted densities against the SCF's own.

    python benchmarks/esp_accuracy.py

For each of ten molecules (PBE/def2-SVP, even-tempered basis on atomic densities, Coulomb fit):
the root mean square difference of the potentials on the surface of 0.002 electrons/bohr^3,
fitted coefficients in closed form against PySCF's integrals over the orbitals; and the largest
difference of Hirshfeld charges from the same shares on PySCF's quadrature, of the fitted and of
the SCF's density. Surface points lie on rays from every nucleus, outermost crossing.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.build import molecule
from scipy.integrate import lebedev_rule

from ase_rholearn import Density
from ase_rholearn.basis import even_tempered
from ase_rholearn.references.pyscf import KohnSham, atomic_densities
from ase_rholearn.references.pyscf.run import kohn_sham

MOLECULES = ["H2O", "NH3", "CH4", "CO2", "HCN", "H2CO", "CH3OH", "CH3CONH2", "C6H6", "CH3SH"]
SURFACE = 0.002  # e/bohr^3
SETTINGS = KohnSham(orbital_basis="def2-svp")


def fitted(atoms: Atoms, *, beta: float = 2.0) -> tuple[Density, Any]:
    """The fitted density of a molecule, and the finished PySCF run."""
    mean_field = kohn_sham(atoms, SETTINGS)
    mean_field.verbose = 0
    mean_field.kernel()
    species = sorted(set(atoms.numbers.tolist()))
    basis = even_tempered(species, beta=beta, orbital_basis=SETTINGS.orbital_basis)
    basis = basis.with_atomic_densities(
        atomic_densities(species, xc=SETTINGS.xc, orbital_basis=SETTINGS.orbital_basis)
    )
    return Density.from_pyscf(mean_field, basis), mean_field


def scf_density(mean_field: Any, points: np.ndarray) -> np.ndarray:
    """Density of the orbitals at points in bohr, e/bohr^3."""
    from pyscf.dft import numint

    matrix = mean_field.make_rdm1()
    blocks = np.array_split(points, max(1, len(points) // 20000))
    values = [
        numint.eval_rho(mean_field.mol, numint.eval_ao(mean_field.mol, block), matrix)
        for block in blocks
    ]
    return np.concatenate(values)


def scf_potential(mean_field: Any, points: np.ndarray) -> np.ndarray:
    """Potential of nuclei and orbitals at points in bohr, Hartree/e."""
    molecule, matrix = mean_field.mol, mean_field.make_rdm1()
    blocks = np.array_split(points, max(1, len(points) // 200))
    electrons = [
        np.einsum("pij,ij->p", molecule.intor("int1e_grids", grids=block), matrix)
        for block in blocks
    ]
    distances = np.linalg.norm(points[:, None] - molecule.atom_coords(), axis=2)
    return (molecule.atom_charges() / distances).sum(axis=1) - np.concatenate(electrons)


def surface(mean_field: Any, degree: int = 17) -> np.ndarray:
    """Points of the isosurface, bohr: the outermost crossing of each ray from a nucleus."""
    directions = lebedev_rule(degree)[0].T
    radii = np.linspace(10.0, 0.5, 60)
    centres = np.repeat(mean_field.mol.atom_coords(), len(directions), axis=0)
    directions = np.tile(directions, (mean_field.mol.natm, 1))
    rays = centres[:, None] + radii[None, :, None] * directions[:, None]
    values = scf_density(mean_field, rays.reshape(-1, 3)).reshape(rays.shape[:2])
    inside = np.argmax(values > SURFACE, axis=1)
    low, high = radii[inside], radii[inside - 1]
    for _ in range(25):
        middle = 0.5 * (low + high)
        dense = scf_density(mean_field, centres + middle[:, None] * directions) > SURFACE
        low, high = np.where(dense, middle, low), np.where(dense, high, middle)
    return centres + low[:, None] * directions


def potential_error(rho: Density, mean_field: Any, degree: int = 17) -> tuple[float, float]:
    """Root mean square error on the surface, and of the potential itself: kcal/mol/e."""
    points = surface(mean_field, degree)
    expected = scf_potential(mean_field, points) * units.Hartree
    error = rho.potential(points * units.Bohr) - expected
    scale = units.mol / units.kcal
    return float(np.sqrt(np.mean(error**2))) * scale, float(np.sqrt(np.mean(expected**2))) * scale


def hirshfeld_errors(rho: Density, mean_field: Any, level: int = 6) -> tuple[float, float]:
    """Largest difference of charges from PySCF's quadrature: of the fit, and of the SCF, e."""
    from pyscf import dft

    grids = dft.gen_grid.Grids(mean_field.mol)
    grids.level, grids.prune = level, None
    grids.build()
    free = np.array(
        [
            rho.basis.atomic_densities[int(z)].value(np.linalg.norm(grids.coords - r, axis=1))
            for z, r in zip(rho.atoms.numbers, mean_field.mol.atom_coords(), strict=True)
        ]
    )
    shares = free / np.maximum(free.sum(axis=0), 1e-300)
    values = rho.evaluate(grids.coords * units.Bohr) * units.Bohr**3
    charges = rho.charges()
    errors = [
        np.abs(rho.core_charges - shares @ (grids.weights * density) - charges).max()
        for density in (values, scf_density(mean_field, grids.coords))
    ]
    return float(errors[0]), float(errors[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("molecules", nargs="*", default=MOLECULES, help="names in ase.build")
    parser.add_argument("--beta", type=float, default=2.0, help="of the even-tempered basis")
    arguments = parser.parse_args()
    print("             potential, kcal/mol/e       Hirshfeld charges, e")
    print("             RMS error   RMS itself      quadrature   SCF")
    errors = []
    for name in arguments.molecules:
        rho, mean_field = fitted(molecule(name), beta=arguments.beta)
        error, size = potential_error(rho, mean_field)
        quadrature, scf = hirshfeld_errors(rho, mean_field)
        errors.append((error, quadrature))
        print(f"{name:12s} {error:9.4f} {size:11.2f} {quadrature:15.1e} {scf:10.1e}", flush=True)
    worst = np.max(errors, axis=0)
    print(f"{'largest':12s} {worst[0]:9.4f} {'':11s} {worst[1]:15.1e}")


if __name__ == "__main__":
    main()
