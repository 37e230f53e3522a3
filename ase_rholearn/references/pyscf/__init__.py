"""Reference densities from PySCF: runs, wavefunctions that exist already, and their fit."""

from .atoms import atomic_densities
from .code import PySCF
from .fit import fit_density
from .integrals import metric_matrix
from .orbital_density import orbital_density
from .run import (
    density_from_mean_field,
    from_checkpoint,
    from_orbitals,
    orbital_molecule,
    reference,
    refit,
)
from .settings import KohnSham

__all__ = [
    "KohnSham",
    "PySCF",
    "atomic_densities",
    "density_from_mean_field",
    "fit_density",
    "from_checkpoint",
    "from_orbitals",
    "metric_matrix",
    "orbital_density",
    "orbital_molecule",
    "reference",
    "refit",
]
