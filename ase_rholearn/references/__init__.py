"""Where reference densities come from, and the fit of an auxiliary basis to them."""

from .reference import NotConvergedError, Reference, reference_id, settings_with_basis

__all__ = ["NotConvergedError", "Reference", "reference_id", "settings_with_basis"]
