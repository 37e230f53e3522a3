"""Reference densities from PySCF: runs, wavefunctions that exist already, and their fit."""

from .atoms import atomic_densities
from .code import PySCF
from .existing import (
    density_from_mean_field,
    from_checkpoint,
    from_orbitals,
    orbital_molecule,
    read_checkpoint,
    refit,
)
from .fit import fit_density
from .integrals import metric_matrix
from .molden import from_molden, read_molden
from .orbital_density import orbital_density
from .orbital_file import from_orbital_file, read_orbital_file
from .projection import project
from .run import reference
from .settings import KohnSham
from .wavefunction import Wavefunction, fit_wavefunction

__all__ = [
    "KohnSham",
    "PySCF",
    "Wavefunction",
    "atomic_densities",
    "density_from_mean_field",
    "fit_density",
    "fit_wavefunction",
    "from_checkpoint",
    "from_molden",
    "from_orbital_file",
    "from_orbitals",
    "metric_matrix",
    "orbital_density",
    "orbital_molecule",
    "project",
    "read_checkpoint",
    "read_molden",
    "read_orbital_file",
    "reference",
    "refit",
]
