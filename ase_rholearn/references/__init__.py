"""Where reference densities come from, and the fit of an auxiliary basis to them."""

from .code import ReferenceCode
from .reference import (
    ACTIVE_ATOMS,
    NotConvergedError,
    Reference,
    plain_info,
    reference_id,
    settings_with_basis,
)

__all__ = [
    "ACTIVE_ATOMS",
    "NotConvergedError",
    "Reference",
    "ReferenceCode",
    "plain_info",
    "reference_id",
    "settings_with_basis",
]
