"""Poisson's equation on a grid, known by its shape alone: up to 1e10 unknowns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from dasksor.omega import block_limit


@dataclass(frozen=True)
class Stencil:
    """The 5-point matrix of a plane grid, the 7-point matrix of one in space.

    Its rows are cut into blocks of whole lines: of all rows with one first index.
    """

    shape: tuple[int, ...]

    @classmethod
    def of(cls, shape: Sequence[int]) -> Stencil:
        """Check ``shape``.

        Raises
        ------
        ValueError
            It does not have 2 or 3 positive lengths.
        """
        shape = tuple(int(length) for length in shape)
        if len(shape) not in (2, 3) or min(shape) < 1:
            raise ValueError(f"shape must have 2 or 3 positive lengths, got {shape}")
        return cls(shape)

    @property
    def n(self) -> int:
        return math.prod(self.shape)

    @property
    def lines(self) -> int:
        """How many blocks of at least one line there can be."""
        return self.shape[0]

    @property
    def entries(self) -> int:
        """Stored entries of the matrix."""
        across = sum(self.n // length for length in self.shape)
        return (2 * len(self.shape) + 1) * self.n - 2 * across

    @property
    def slice_bytes(self) -> int:
        """What a block publishes to each neighbour: one line."""
        return 8 * (self.n // self.lines)

    @property
    def jacobi_radius(self) -> float:
        """The spectral radius of the Jacobi matrix: the mean of ``cos(pi / (m + 1))``."""
        return sum(math.cos(math.pi / (m + 1)) for m in self.shape) / len(self.shape)

    @property
    def jacobi_gap(self) -> float:
        """``1 - jacobi_radius``, right also where that is 1 but for rounding."""
        return sum(2 * math.sin(math.pi / (2 * m + 2)) ** 2 for m in self.shape) / len(self.shape)

    @property
    def aggregate(self) -> int:
        """How many lines thick an aggregate of 64 unknowns is."""
        return round(64 ** (1 / len(self.shape)))

    def cautious_omega(self, thickness: float) -> float:
        """What `dasksor.omega.for_stale_sweeps` chooses for blocks of so many lines."""
        # A cut finds the end of a line within a tenth of a block, else it crosses one.
        cut = 1 if thickness >= 5.0 or thickness == int(thickness) else 2
        coupling = max(cut, 2 if thickness <= 1.0 else 1) / (2 * len(self.shape))
        return min(1.6, max(1.0, 0.95 * block_limit(coupling)))


def bytes_of(unknowns: float, entries: float) -> float:
    """Memory that a pass goes through: value and index of each entry, five numbers of each row."""
    return 12.0 * entries + 40.0 * unknowns
