"""One diagonalisation for crystals: bands at k-points from a density."""

from .one_shot import OneShotCrystal, one_shot_crystal

__all__ = ["OneShotCrystal", "one_shot_crystal"]
