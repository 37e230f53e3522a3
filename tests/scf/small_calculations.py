"""Molecules of PySCF and rich fits of their densities."""

from __future__ import annotations

from typing import Any

from ase import Atoms
from pyscf import gto

from ase_rholearn.basis import even_tempered
from ase_rholearn.density import Density
from ase_rholearn.references.pyscf import atomic_densities, density_from_mean_field


def molecule_of(atoms: Atoms, **options: Any) -> Any:
    """PySCF's, where ASE has the atoms."""
    places = [(s, p) for s, p in zip(atoms.symbols, atoms.positions, strict=True)]
    return gto.M(**{"atom": places, "basis": "def2-svp", "verbose": 0, **options})


def rich_fit(mean_field: Any, species: dict[str, int]) -> Density:
    """Of a calculation in def2-SVP, by functions and free atoms of species with their numbers."""
    basis = even_tempered(list(species), beta=1.8, orbital_basis="def2-svp")
    free = atomic_densities(list(species.values()), orbital_basis="def2-svp")
    return density_from_mean_field(mean_field, basis.with_atomic_densities(free))
