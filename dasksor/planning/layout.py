"""Blocks and hosts of a planned run, and the arithmetic of each in seconds."""

from __future__ import annotations

from dataclasses import dataclass

from dasksor.planning.machine import Machine
from dasksor.planning.stencil import Stencil, bytes_of


@dataclass(frozen=True)
class Layout:
    """``blocks`` equal blocks of whole lines on ``hosts`` workers, neighbours together.

    Attributes
    ----------
    accelerated : bool
        Whether blocks keep the vectors of conjugate gradients.
    """

    stencil: Stencil
    machine: Machine
    hosts: int
    blocks: int
    accelerated: bool = False

    @classmethod
    def of(
        cls,
        stencil: Stencil,
        machine: Machine,
        workers: int,
        per_worker: int,
        *,
        accelerated: bool = False,
    ) -> Layout:
        """As many blocks for each worker as asked for, but none thinner than a line."""
        blocks = min(stencil.lines, per_worker * workers)
        return cls(stencil, machine, min(workers, blocks), blocks, accelerated)

    @property
    def thickness(self) -> float:
        """Lines of a block."""
        return self.stencil.lines / self.blocks

    @property
    def sweep(self) -> float:
        """Seconds of arithmetic in one pass over a block."""
        return self._entries * self.machine.sweep.at(self._bytes, self._busy)

    @property
    def product(self) -> float:
        """Seconds of arithmetic in one residual of a block, with what else a cycle needs."""
        seconds = self._entries * self.machine.product.at(self._bytes, self._busy)
        if self.accelerated:
            rate = self.machine.vectors.at(self._bytes, self._busy)
            seconds += rate * self.stencil.n / self.blocks
        return seconds

    @property
    def full_hosts(self) -> float:
        """Seconds of a sweep of the busiest host, without any waiting."""
        return -(-self.blocks // self.hosts) * (self.sweep + self.machine.work)

    @property
    def _entries(self) -> float:
        return self.stencil.entries / self.blocks

    @property
    def _bytes(self) -> float:
        return bytes_of(self.stencil.n / self.hosts, self.stencil.entries / self.hosts)

    @property
    def _busy(self) -> float:
        cores = self.machine.cores
        return (min(self.hosts, cores) - 1) / (cores - 1) if cores > 1 else 0.0
