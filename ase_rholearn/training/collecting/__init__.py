"""Data sets from fits that FHI-aims has made."""

from .collect import Collected, collect
from .product_basis import product_basis

__all__ = ["Collected", "collect", "product_basis"]
