"""What blocks, hosts and the monitor tell each other. Every transport carries these as they are.

Of two messages with the same `slot`, the one of higher `age` says all that the other said.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Slice(NamedTuple):
    """The entries of block ``source`` that ``target`` reads, after ``version`` passes."""

    source: int
    target: int
    version: int
    values: np.ndarray

    @property
    def slot(self) -> tuple:
        return (Slice, self.source, self.target)

    @property
    def age(self) -> int:
        return self.version


class Halo(NamedTuple):
    """The entries of snapshot ``epoch`` of block ``source`` that ``target`` reads."""

    source: int
    target: int
    epoch: int
    values: np.ndarray

    @property
    def slot(self) -> tuple:
        return (Halo, self.source, self.target)

    @property
    def age(self) -> int:
        return self.epoch


class Order(NamedTuple):
    """From the monitor to every host; one with a higher ``number`` replaces those before.

    Take snapshot ``epoch`` after pass ``at`` (None: at once) unless it is taken already, sweep
    with ``omega``, and not beyond pass ``until``. Snapshot ``keep`` is the best so far.
    """

    number: int
    epoch: int
    at: int | None
    until: int
    omega: float
    keep: int

    @property
    def slot(self) -> tuple:
        return (Order,)

    @property
    def age(self) -> int:
        return self.number


class Stop(NamedTuple):
    """From the monitor to every host: return snapshot ``keep`` (None: nothing) and end."""

    keep: int | None

    @property
    def slot(self) -> tuple:
        return (Stop,)

    @property
    def age(self) -> int:
        return 0


class Hello(NamedTuple):
    """From a host to the monitor: its mailbox is open."""

    host: int


class Piece(NamedTuple):
    """From a block to the monitor: its exact part of the residual of snapshot ``epoch``.

    ``residual`` and ``rhs`` are 2-norms, one for each right-hand side, of ``b - A y`` and ``b``;
    ``change`` and ``before`` are the sums of squared changes in the last pass before the snapshot
    and in the pass before that.
    """

    block: int
    epoch: int
    version: int
    change: float
    before: float
    residual: np.ndarray
    rhs: np.ndarray


class Progress(NamedTuple):
    """From a host to the monitor: how many passes each of its blocks has done."""

    host: int
    versions: dict[int, int]


Peer = Slice | Halo
Command = Order | Stop
