"""Packages that only some users have."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def needs(package: str, extra: str, purpose: str = "") -> Iterator[None]:
    """Say how to install an optional package that is imported in the block and is not there.

    Parameters
    ----------
    package
        Its name.
    extra
        Of ase_rholearn, which brings it.
    purpose
        What cannot do without it, such as "pictures".
    """
    try:
        yield
    except ImportError as error:
        missing = f"{purpose} need {package}" if purpose else f"{package} is not installed"
        raise type(error)(
            f"{missing}: pip install 'ase-rholearn[{extra}]'", name=error.name
        ) from error
