"""What all generators share: rows first, whole matrices from them, and checked numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from dasksor.sources import from_blocks


def whole_or_blocks(rows: Callable[[int, int], Any], n: int, nblocks: int | None) -> Any:
    """All rows of a matrix of ``n`` rows, or its factory."""
    return rows(0, n) if nblocks is None else from_blocks(rows, (n, n), nblocks)


def positive(name: str, value: float) -> float:
    """``value`` as a float; refuses what is not positive and finite."""
    if not 0.0 < value < math.inf:
        raise ValueError(f"{name} must be positive and finite, got {value}")
    return float(value)
