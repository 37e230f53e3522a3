"""Where reference densities come from, and the fit of an auxiliary basis to them."""

from .code import ReferenceCode
from .reference import (
    NotConvergedError,
    Reference,
    plain_info,
    reference_id,
    settings_with_basis,
)

__all__ = [
    "NotConvergedError",
    "Reference",
    "ReferenceCode",
    "plain_info",
    "reference_id",
    "settings_with_basis",
]
