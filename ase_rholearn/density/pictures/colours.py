"""Colours that all pictures share: blue is positive, and darker than orange in grey too."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.colors import LinearSegmentedColormap

#: Of positive and negative values, red, green and blue.
POSITIVE, NEGATIVE = (0.13, 0.33, 0.70), (0.96, 0.53, 0.25)

#: Of what lies between the two, and of the cut through a surface at the end of a cell.
NEUTRAL, CUT = (0.97, 0.97, 0.97), (0.72, 0.74, 0.78)


def diverging() -> LinearSegmentedColormap:
    """The colour scale from negative through zero to positive; needs matplotlib."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("negative-positive", [NEGATIVE, NEUTRAL, POSITIVE])


def diverging_colours(values: np.ndarray, limit: float) -> np.ndarray:
    """Colours (n, 3) of values (n,) on the scale from -limit to limit.

    >>> diverging_colours(np.array([-2.0, 0.0, 1.0]), 1.0)
    array([[0.96, 0.53, 0.25],
           [0.97, 0.97, 0.97],
           [0.13, 0.33, 0.7 ]])
    """
    along = np.clip(values / limit, -1.0, 1.0)
    scale = np.array([NEGATIVE, NEUTRAL, POSITIVE])
    return np.stack([np.interp(along, [-1, 0, 1], channel) for channel in scale.T], axis=-1)
