"""Errors of sampling."""


class SamplingError(RuntimeError):
    """A structure cannot be sampled as asked; the message says why."""
