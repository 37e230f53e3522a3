"""The auxiliary basis: shells, atomic densities, harmonics and their closed-form integrals."""

from .agreement import agree
from .atomic_density import AtomicDensity
from .basis import Basis, Layout
from .build import even_tempered, from_pyscf
from .harmonics import (
    harmonic_polynomials,
    harmonic_rotations,
    harmonic_rows,
    solid_harmonics,
)
from .numerical import FreeAtom, NumericalAtomicDensity, NumericalShell, RadialFunction
from .orthonormal import orthonormal_transform, radial_transform
from .pyscf_order import from_pyscf_order, pyscf_permutation, to_pyscf_order
from .shells import Shell
from .tensormap import block_keys, from_tensormap, to_tensormap
from .unknown import UnknownShell, unknown_overlap, unknown_shells

__all__ = [
    "AtomicDensity",
    "Basis",
    "FreeAtom",
    "Layout",
    "NumericalAtomicDensity",
    "NumericalShell",
    "RadialFunction",
    "Shell",
    "UnknownShell",
    "agree",
    "block_keys",
    "even_tempered",
    "from_pyscf",
    "from_pyscf_order",
    "from_tensormap",
    "harmonic_polynomials",
    "harmonic_rotations",
    "harmonic_rows",
    "orthonormal_transform",
    "pyscf_permutation",
    "radial_transform",
    "solid_harmonics",
    "to_pyscf_order",
    "to_tensormap",
    "unknown_overlap",
    "unknown_shells",
]
