"""Packages that only some users have."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def needs(package: str, extra: str) -> Iterator[None]:
    """Say how to install an optional package that is imported in the block and is not there.

    Parameters
    ----------
    package
        Its name.
    extra
        Of ase_rholearn, which brings it.
    """
    try:
        yield
    except ImportError as error:
        raise ImportError(
            f"{package} is not installed: pip install 'ase-rholearn[{extra}]'"
        ) from error
