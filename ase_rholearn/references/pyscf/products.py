"""Matrix products of PySCF by the BLAS of NumPy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np


@contextmanager
def numpy_products() -> Iterator[None]:
    """Let PySCF multiply matrices with the BLAS of NumPy inside the block.

    PySCF's wheels bring an OpenBLAS of 2018, which does not know today's processors and is
    some three times slower than NumPy's; a quarter of a run goes into these products. Other
    builds of PySCF are linked to a library that somebody chose, and are left alone.
    """
    import pyscf.lib
    from pyscf.lib import numpy_helper

    own = getattr(numpy_helper, "_dgemm", None)
    if own is None or not any(Path(pyscf.lib.__file__).parent.glob("libopenblas*")):
        yield
        return
    numpy_helper._dgemm = _product_instead_of(own)
    try:
        yield
    finally:
        numpy_helper._dgemm = own


def _product_instead_of(own: Callable[..., Any]) -> Callable[..., Any]:
    """The same as PySCF's own function, which goes on doing parts of arrays."""

    def product(
        trans_a: str,
        trans_b: str,
        m: int,
        n: int,
        k: int,
        a: np.ndarray,
        b: np.ndarray,
        c: np.ndarray,
        alpha: float = 1,
        beta: float = 0,
        *offsets: int,
    ) -> np.ndarray:
        left = a if trans_a == "N" else a.T
        right = b if trans_b == "N" else b.T
        whole = left.shape == (m, k) and right.shape == (k, n) and c.shape == (m, n)
        if any(offsets) or not whole:
            return own(trans_a, trans_b, m, n, k, a, b, c, alpha, beta, *offsets)
        if beta == 0 and alpha == 1:
            return np.matmul(left, right, out=c)
        c *= beta
        c += alpha * (left @ right)
        return c

    return product
