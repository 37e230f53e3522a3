"""FHI-aims: input, output, coefficients of the product basis in and out, restart."""

from .basis_info import BasisInfo, read_basis_info
from .judge import Verdict, judge, status
from .output import AimsOutput, read_output
from .restart import write_restart
from .ri_files import RIFit, read_ri_fit
from .run import Outcome, run_all
from .seeded import AimsSeeded
from .settings import AimsSettings
from .setup import set_up

__all__ = [
    "AimsOutput",
    "AimsSeeded",
    "AimsSettings",
    "BasisInfo",
    "Outcome",
    "RIFit",
    "Verdict",
    "judge",
    "read_basis_info",
    "read_output",
    "read_ri_fit",
    "run_all",
    "set_up",
    "status",
    "write_restart",
]
