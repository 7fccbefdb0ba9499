"""What blocks, hosts and the monitor tell each other. Every transport carries these as they are.

Of two messages with the same `slot`, the one of higher `age` says all that the other said.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple

import numpy as np

from dasksor.status import Status


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
    with ``omega``, and not beyond pass ``until``. Snapshot ``keep`` is the best so far; others
    before ``oldest`` are forgotten.
    """

    number: int
    epoch: int
    at: int | None
    until: int
    omega: float
    keep: int
    oldest: int = 0

    @property
    def slot(self) -> tuple:
        return (Order,)

    @property
    def age(self) -> int:
        return self.number


class Copy(NamedTuple):
    """Block ``block``'s part of snapshot ``epoch``, for host ``target`` to keep.

    ``version`` passes had been made, the last of which changed the unknowns by ``change`` (sum of
    squares): a block can go on from here as if nothing had happened.
    """

    block: int
    target: int
    epoch: int
    version: int
    change: float
    values: np.ndarray

    @property
    def slot(self) -> tuple:
        return (Copy, self.block, self.epoch)

    @property
    def age(self) -> int:
        return self.epoch


class Held(NamedTuple):
    """From a host to the monitor: it keeps block ``block``'s part of snapshot ``epoch``."""

    host: int
    block: int
    epoch: int


class Cut(Enum):
    """Which vector the snapshot at the end of a cycle freezes."""

    AGGREGATES = "the numbers of the aggregates, as a vector"
    ITERATE = "the iterate, to measure its residual"
    CORRECTION = "what the sweeps made of the residual, to find the next direction"
    NOTHING = "no vector: blocks with bounds say how far the direction may be followed"


class Step(NamedTuple):
    """A step of ``length`` along ``z + Z coarse - sum_i conjugate[i] p_i``, oldest ``p_i`` first.

    Shapes are (nrhs, members), (directions, nrhs), (nrhs,). Where cycles start with the coarse
    space ``Z coarse`` is part of the next ``z`` instead. Between bounds it is said twice: for the
    direction, and for the length when blocks have said how far they can go.
    """

    coarse: np.ndarray
    conjugate: np.ndarray
    length: np.ndarray


class Cycle(NamedTuple):
    """From the leader to host ``target`` of an accelerated run; a higher ``epoch`` replaces others.

    Make ``step``, then ``passes`` passes over the correction, then take snapshot ``epoch`` of
    ``cut``. ``members`` are the aggregates in the order of ``step.coarse``, said once.
    """

    target: int
    epoch: int
    cut: Cut
    passes: int
    omega: float
    step: Step | None
    members: np.ndarray | None

    @property
    def slot(self) -> tuple:
        return (Cycle, self.target)

    @property
    def age(self) -> int:
        return self.epoch

    @property
    def values(self) -> np.ndarray:
        """Most of what is carried."""
        return np.zeros(0) if self.step is None else self.step.coarse


class Stretch(NamedTuple):
    """From the monitor to every host of an accelerated run; a higher ``number`` replaces others.

    Make cycles, the first up to snapshot ``epoch``, until the residual seems to meet ``targets`` or
    it is time anyway, and measure it; ``done`` passes are made, ``most`` will be. With no
    ``targets`` find the coarse space and measure the start. The rest as of `Order`.
    """

    number: int
    epoch: int
    omega: float
    done: int
    most: int
    targets: np.ndarray | None
    rhs_norms: np.ndarray | None
    keep: int
    oldest: int = 0

    @property
    def slot(self) -> tuple:
        return (Stretch,)

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


class CoarsePart(NamedTuple):
    """From a block to the leader, host ``target``: its entries of the coarse matrix ``Z'AZ``."""

    block: int
    target: int
    epoch: int
    rows: np.ndarray
    columns: np.ndarray
    values: np.ndarray

    @property
    def slot(self) -> tuple:
        return (CoarsePart, self.block)

    @property
    def age(self) -> int:
        return self.epoch


class Moments(NamedTuple):
    """From a block to the leader, host ``target``: its parts of the inner products of one cycle.

    ``z`` is the correction, ``r`` the residual, ``q_i = A p_i`` of the directions ``p_i`` kept, and
    ``t``, ``t_i`` their test vectors (`dasksor.engine.steps`). ``values`` has a row for each of
    ``t'r``, ``t'Az``, the ``t'q_i``, the ``t_i'r``; ``residual`` is the norm of ``r``; ``coarse``,
    shape (2, nrhs, members), is ``Z'(r - A z)`` and ``Z'r`` over the aggregates of the block.
    Between bounds ``turned``, shape (nrhs,), says whether ``z`` leaves the face of the iterate.
    """

    block: int
    target: int
    epoch: int
    values: np.ndarray
    residual: np.ndarray
    coarse: np.ndarray
    turned: np.ndarray = np.zeros(0, dtype=bool)

    @property
    def slot(self) -> tuple:
        return (Moments, self.block)

    @property
    def age(self) -> int:
        return self.epoch


class Reach(NamedTuple):
    """From a block to the leader, host ``target``: how far its bounds let the iterate go.

    ``values``, shape (nrhs,), are the longest steps along the direction of cycle ``epoch``.
    """

    block: int
    target: int
    epoch: int
    values: np.ndarray

    @property
    def slot(self) -> tuple:
        return (Reach, self.block)

    @property
    def age(self) -> int:
        return self.epoch


class Failure(NamedTuple):
    """From the leader to the monitor: what came of snapshot ``epoch`` ends the run."""

    epoch: int
    status: Status


class Progress(NamedTuple):
    """From a host to the monitor: how many passes each of its blocks has done.

    Since its start it has swept ``rows`` rows, in ``busy`` seconds of work, sent ``messages`` of
    ``bytes_sent`` bytes, and spent ``seconds`` on each of `dasksor.engine.ticker.PHASES`. Of
    ``(p, q, age)`` in ``ages`` the last is how many passes older the values of block ``q`` were, in
    the last pass of its block ``p``, than those of the sequential sweep; negative if newer.
    """

    host: int
    versions: dict[int, int]
    rows: int = 0
    busy: float = 0.0
    messages: int = 0
    bytes_sent: int = 0
    seconds: tuple[float, ...] = ()
    ages: tuple[tuple[int, int, int], ...] = ()


class Regroup(NamedTuple):
    """From the coordinator to every host: return all snapshots and copies kept, and end."""

    @property
    def slot(self) -> tuple:
        return (Stop,)

    @property
    def age(self) -> int:
        return 0


Part = CoarsePart | Moments | Reach
Peer = Slice | Halo | Copy | Cycle | Part
Command = Order | Stretch | Stop | Regroup
Report = Hello | Held | Piece | Failure | Progress


def host_of(message: Peer, owner: Sequence[int]) -> int:
    """The host that a message goes to, where ``owner`` are the hosts of the blocks."""
    return owner[message.target] if isinstance(message, Slice | Halo) else message.target
