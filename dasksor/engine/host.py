"""Several blocks that share one thread: routes their messages and picks whose turn it is."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from dasksor.engine.block import Block
from dasksor.engine.cycles import CycleBlock
from dasksor.engine.leader import Leader
from dasksor.engine.outcome import Timings
from dasksor.engine.recall import Saved, kept
from dasksor.messages import (
    Copy,
    Cycle,
    Halo,
    Held,
    Order,
    Part,
    Peer,
    Piece,
    Report,
    Slice,
    Stretch,
)

LOCAL_SWEEPS = 10


class Host:
    """The blocks of one worker thread; like `Block`, no input or output of its own.

    Messages between its own blocks are delivered at once. Those for others wait in `outgoing`,
    reports for the monitor in `reports`; `at_work` is the block of the last `step`. It has swept
    `swept` rows in `busy` seconds.

    Parameters
    ----------
    blocks : iterable of Block or CycleBlock
    number : int
        The host's own number.
    buddy : int, optional
        The host that keeps copies of this one's parts of snapshots, and outlives its worker.
    tells : bool
        Whether copies go to the monitor as well.
    leader : Leader, optional
        Leads the cycles of all hosts, this being the one that does.
    """

    def __init__(
        self,
        blocks: Iterable[Block | CycleBlock],
        number: int = 0,
        buddy: int | None = None,
        *,
        tells: bool = False,
        leader: Leader | None = None,
    ) -> None:
        self.blocks = {block.index: block for block in blocks}
        self.number, self.buddy, self._tells = number, buddy, tells
        self._leader = leader
        self._due: Cycle | None = None
        self.swept, self.busy = 0, 0.0
        self.copies: dict[int, dict[int, Saved]] = {}
        self.timings = {p: Timings() for p in self.blocks}
        self.outgoing: list[Peer] = []
        self.reports: list[Report | Copy] = []
        self.at_work = -1
        self._abroad = {
            p: [q for q in block.exchange.neighbours if q not in self.blocks]
            for p, block in self.blocks.items()
        }
        self._news = dict.fromkeys(self.blocks, 0)
        for block in self.blocks.values():
            self._deliver(block)
            for epoch in block.measured:
                self._send_copy(block, epoch)

    @property
    def versions(self) -> dict[int, int]:
        """Passes done by each block."""
        return {p: block.version for p, block in self.blocks.items()}

    @property
    def ages(self) -> tuple[tuple[int, int, int], ...]:
        """Block, neighbour, and how old its values were that the block's last pass used."""
        return tuple((p, *age) for p, block in self.blocks.items() for age in block.ages.items())

    def answer(self, epoch: int) -> dict[int, np.ndarray]:
        """Each block's part of snapshot ``epoch``."""
        return {p: block.measured[epoch].x for p, block in self.blocks.items()}

    def savings(self) -> dict[int, dict[int, Saved]]:
        """By epoch and block: all parts of snapshots that are here, own ones and copies."""
        result = {epoch: dict(parts) for epoch, parts in self.copies.items()}
        for p, block in self.blocks.items():
            for epoch, part in block.measured.items():
                result.setdefault(epoch, {})[p] = part
        return result

    def receive(self, message: Peer | Order | Stretch) -> None:
        """Keep a copy; hand an order to every block, the rest to the block it is meant for."""
        if isinstance(message, Order | Stretch):
            self.copies = kept(self.copies, message)
            self._tell(message)
            if isinstance(message, Stretch) and self._leader is not None:
                self._lead(self._leader.obey(message))
        elif isinstance(message, Cycle):
            self._tell(message)
        elif isinstance(message, Part):
            assert self._leader is not None
            self._lead(self._leader.receive(message))
        elif isinstance(message, Copy):
            saved = Saved(message.values, message.version, message.change)
            self.copies.setdefault(message.epoch, {})[message.block] = saved
            self.reports.append(Held(self.number, message.block, message.epoch))
        else:
            self.blocks[message.target].receive(message)  # type: ignore[arg-type]
            if isinstance(message, Slice):
                self._news = self.versions

    @property
    def has_unheard(self) -> bool:
        """Whether one of its blocks waits for a first word of a neighbour.

        That neighbour may wait for one of it, while both hosts are busy with other blocks.
        """
        return any(block.has_unheard for block in self.blocks.values())

    def repeat(self) -> None:
        """Send again what other hosts may have lost."""
        for block in self.blocks.values():
            block.repeat()
            self._deliver(block)
        if self._leader is not None:
            self._announce()

    def _tell(self, order: Order | Stretch | Cycle) -> None:
        for block in self.blocks.values():
            block.receive(order)  # type: ignore[arg-type]
            self._deliver(block)

    def _lead(self, cycle: Cycle | None) -> None:
        """Pass on what the leader has just decided.

        Its own blocks hear of it in the next `step`, when the others have been told: to begin a
        cycle is work, during which they would wait.
        """
        assert self._leader is not None
        if self._leader.failure is not None or cycle is not None:
            self._announce()
        self._due = cycle or self._due

    def _announce(self) -> None:
        leader = self._leader
        assert leader is not None
        if leader.failure is not None:
            self.reports.append(leader.failure)
        elif leader.said is not None:
            others = (h for h in range(leader.hosts) if h != self.number)
            self.outgoing += [leader.said._replace(target=h) for h in others]

    def step(self) -> bool:
        """Do one piece of work, a measurement or a pass; False when there is none to do."""
        # What blocks say at the beginning of a cycle can be all that the leader waits for.
        while self._due is not None:
            cycle, self._due = self._due, None
            self._tell(cycle)
        for p, block in self.blocks.items():
            if block.can_measure:
                self.at_work = p
                with self.timings[p].measure("tests"):
                    block.measure()
                self._deliver(block)
                return True
        ready = [block for block in self.blocks.values() if block.ready and self._may_go_on(block)]
        if not ready:
            return False
        block = min(ready, key=self._turn)
        self.at_work = block.index
        timings = self.timings[block.index]
        before = timings.compute
        with timings.measure("compute"):
            block.sweep()
        # The first pass of a block says more about kernels being loaded than about speed.
        if before > 0.0:
            self.swept += block.own.shape[1]
            self.busy += timings.compute - before
        self._deliver(block)
        return True

    def _turn(self, block: Block | CycleBlock) -> tuple[int, bool]:
        """The block that is furthest behind; those that other hosts wait for may lead a little."""
        abroad = bool(self._abroad[block.index])
        lead = len(self.blocks) if abroad and not block.never_waits else 0
        return block.version - lead, not abroad

    def _may_go_on(self, block: Block | CycleBlock) -> bool:
        """Without news from other hosts, more than a few sweeps only solve for old values."""
        if not block.never_waits:
            return True
        if all(self.blocks[p].has_finished(q) for p, far in self._abroad.items() for q in far):
            return True
        return block.version < self._news[block.index] + LOCAL_SWEEPS

    def _deliver(self, block: Block | CycleBlock) -> None:
        messages, block.outbox = block.outbox, []
        for message in messages:
            if isinstance(message, Part):
                if self._leader is not None:
                    self._lead(self._leader.receive(message))
                else:
                    self.outgoing.append(message)
            elif not isinstance(message, Slice | Halo):
                self.reports.append(message)
                if isinstance(message, Piece):
                    self._send_copy(block, message.epoch)
            elif message.target in self.blocks:
                self.blocks[message.target].receive(message)  # type: ignore[arg-type]
            else:
                self.outgoing.append(message)

    def _send_copy(self, block: Block | CycleBlock, epoch: int) -> None:
        x, version, change = block.measured[epoch]
        if self.buddy is not None:
            self.outgoing.append(Copy(block.index, self.buddy, epoch, version, change, x))
        if self._tells:
            self.reports.append(Copy(block.index, self.number, epoch, version, change, x))
