"""Seconds of the asynchronous modes: the simulated pace, and what legs and looks add."""

from __future__ import annotations

from dasksor.engine.monitor import SAVE_EVERY, SHORTEST
from dasksor.planning.layout import Layout
from dasksor.planning.pace import cycle_seconds, sweep_seconds
from dasksor.planning.sweeps import Count


def exact_seconds(layout: Layout, count: Count, *, settled: bool) -> float:
    """Exact dataflow.

    While omega is sought, all blocks wait at the end of each leg until the last one is there and
    the next leg is ordered. When it is given, they may go on by half a leg meanwhile.
    """
    pace = sweep_seconds(layout, exact=True)
    look = layout.blocks / layout.hosts * (layout.product + layout.machine.work)
    turn = chain_seconds(layout) + round_trip(layout)
    if layout.hosts > 1:
        pace = _throttled(pace, turn)
    idle = sum(
        max(0.0, turn - pace * (length // 2 if settled else 1))
        for length in _legs(count.sweeps, count.legs, settled=settled)
    )
    swept = count.sweeps * pace
    return swept + idle + (count.legs + _saves(layout, count, swept)) * look


def free_seconds(layout: Layout, count: Count) -> float:
    """Plain total asynchrony: nobody waits, not even for a residual."""
    pace = sweep_seconds(layout, exact=False)
    look = layout.blocks / layout.hosts * (layout.product + layout.machine.work)
    swept = count.sweeps * pace
    return swept + (count.legs + _saves(layout, count, swept)) * look


def accelerated_seconds(layout: Layout, count: Count) -> float:
    """Conjugate gradients: two passes to a cycle."""
    return count.sweeps / 2 * cycle_seconds(layout)


def message_age(layout: Layout) -> float:
    """How many sweeps a slice is old when it comes, in a run of free sweeps."""
    machine = layout.machine
    link = machine.near if layout.hosts <= machine.cores else machine.far
    return link.seconds(layout.stencil.slice_bytes) / layout.full_hosts


def chain_seconds(layout: Layout) -> float:
    """From the first block's first pass to the end of the last block's: one after another."""
    machine, size = layout.machine, layout.stencil.slice_bytes
    far = (layout.hosts - 1) // machine.cores
    near = layout.hosts - 1 - far
    links = near * machine.near.seconds(size) + far * machine.far.seconds(size)
    links += (layout.hosts - 1) * machine.post
    return layout.blocks * (layout.sweep + machine.work) + links


def round_trip(layout: Layout) -> float:
    """A snapshot's pieces to the monitor, one by one, and its order back to every host."""
    machine = layout.machine
    return 2 * machine.line.latency + (layout.blocks + layout.hosts) * machine.report


def _legs(sweeps: int, legs: int, *, settled: bool) -> list[int]:
    """Sweeps of each leg: a quarter of those before, five at least; or all alike."""
    if not settled:
        return [sweeps // legs] * legs
    lengths, done = [], 0
    while done < sweeps:
        lengths.append(max(5, done // 4))
        done += lengths[-1]
    return lengths


def _saves(layout: Layout, count: Count, swept: float) -> float:
    """Snapshots on the way, so that a lost worker costs little."""
    if layout.hosts == 1:
        return 0.0
    return min(swept / SAVE_EVERY, count.sweeps / SHORTEST)


def _throttled(pace: float, fill: float) -> float:
    """The pace where the first block has to wait for the last one's snapshots.

    They are `SAVE_EVERY` seconds or `SHORTEST` sweeps apart, and it may begin half of the next
    stretch before the one in hand is over.
    """
    throttled = pace
    while True:
        stretch = max(SHORTEST, SAVE_EVERY / throttled)
        slower = max(pace, pace / 2 + fill / stretch)
        if slower <= 1.001 * throttled:
            return throttled
        throttled = slower
