"""Errors of sampling."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class SamplingError(RuntimeError):
    """A structure cannot be sampled as asked; the message says why."""


@contextmanager
def needs(package: str) -> Iterator[None]:
    """Say how to install an optional package that is not there."""
    try:
        yield
    except ImportError as error:
        raise ImportError(
            f"{package} is not installed: pip install 'ase-rholearn[sampling]'"
        ) from error
