"""FHI-aims: input, output, coefficients of the product basis in and out, restart."""

from .basis_info import BasisInfo, read_basis_info
from .restart import write_restart
from .ri_files import RIFit, read_ri_fit

__all__ = ["BasisInfo", "RIFit", "read_basis_info", "read_ri_fit", "write_restart"]
