"""Names of the Hamiltonians, so that options can list them without loading anything."""

from __future__ import annotations

from typing import Literal

Method = Literal["GFN2-xTB", "GFN1-xTB"]
