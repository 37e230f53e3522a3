"""Checks of parameters, with errors that name them."""

from __future__ import annotations

import math
from numbers import Integral
from typing import Any


def check_count(name: str, value: Any, *, least: int = 1) -> None:
    """Raise unless ``value`` is an integer of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} is {value!r}: give an integer")
    if value < least:
        raise ValueError(f"{name} is {value}: give {least} or more")


def check_number(
    name: str,
    value: Any,
    unit: str,
    *,
    above: float = -math.inf,
    least: float = -math.inf,
    most: float = math.inf,
) -> None:
    """Raise unless ``value`` is a finite number with ``above < value`` in ``[least, most]``."""
    if isinstance(value, bool) or not isinstance(value, (int, float, Integral)):
        raise TypeError(f"{name} is {value!r}: give a number ({unit})")
    number = float(value)
    if not (math.isfinite(number) and number > above and least <= number <= most):
        bounds = [f"above {above:g}"] if above > -math.inf else []
        bounds += [f"of at least {least:g}"] if least > -math.inf else []
        bounds += [f"of at most {most:g}"] if most < math.inf else []
        raise ValueError(f"{name} is {value}: give a number {' and '.join(bounds)} ({unit})")
