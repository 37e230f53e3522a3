"""The radial functions of FHI-aims' product basis, from FHI-aims itself. Experimental.

Runs that read coefficients (``ri_density_restart read 0``) write the density that belongs to them
on their integration grid. The difference of two of them, between which one coefficient of an atom
was changed, is the function of this coefficient. Far from all other atoms it is R(r) Y_lm, and R
can be read off. On a pair of equal atoms the changes are opposite, so that the number of electrons
stays: it does not matter whether FHI-aims normalises the density that it has read.

No real run has confirmed this yet.
"""

from .plan import Displacement, plan_displacements, recovery_structure
from .recover import Recovered, recover_functions
from .setup import set_up_recovery

__all__ = [
    "Displacement",
    "Recovered",
    "plan_displacements",
    "recover_functions",
    "recovery_structure",
    "set_up_recovery",
]
