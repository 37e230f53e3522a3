"""Structures for reference calculations: conformers, xTB dynamics and rattling.

Needs ``pip install 'ase-rholearn[sampling]'`` for conformers (RDKit) and xTB (tblite);
rattling needs nothing. Every step is a function of structure, parameters and seed, and
:func:`sample` chains them.
"""

from .conformers import Conformers, Smiles, conformers, read_smiles
from .dynamics import Dynamics, dynamics, trajectory
from .failure import SamplingError
from .plan import Failed, Sampled, SamplingPlan, sample, sample_smiles, sample_structure
from .rattle import Rattle, rattle
from .xtb import XTB, relax

__all__ = [
    "XTB",
    "Conformers",
    "Dynamics",
    "Failed",
    "Rattle",
    "Sampled",
    "SamplingError",
    "SamplingPlan",
    "Smiles",
    "conformers",
    "dynamics",
    "rattle",
    "read_smiles",
    "relax",
    "sample",
    "sample_smiles",
    "sample_structure",
    "trajectory",
]
