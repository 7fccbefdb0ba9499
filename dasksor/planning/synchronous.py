"""Seconds of mode ``"sync"``: hops from task to task, or the scheduler's time for all of them."""

from __future__ import annotations

from dasksor.engine.synchronous import TASKS_AT_A_TIME
from dasksor.planning.layout import Layout

# At the end of a leg: the slices for the residual, the residual, its way to the client and the
# next graph's way back. While omega is sought, two sums of changes with an answer each.
HOPS_OF_LEG, HOPS_OF_CHANGE = 4, 4


def seconds(layout: Layout, sweeps: int, legs: int, *, settled: bool) -> float:
    """Seconds of ``sweeps`` in so many ``legs``; ``settled``: omega was given."""
    machine = layout.machine
    hop, work = machine.hop, layout.sweep
    fill = chain_hops(layout.hosts, layout.blocks) * hop + layout.blocks * work
    tasks = layout.blocks + 2 * (layout.hosts - 1)
    in_flight = 2 * max(1, TASKS_AT_A_TIME // tasks)
    per_sweep = max(
        pair_hops(layout.hosts, layout.blocks) * hop + 2 * work,
        -(-layout.blocks // layout.hosts) * work,
        tasks * machine.task,
        fill / in_flight,
    )
    per_leg = (HOPS_OF_LEG + (0 if settled else HOPS_OF_CHANGE)) * hop + layout.product
    return sweeps * per_sweep + legs * (per_leg + max(0.0, fill - per_sweep))


def hops(hosts: int, blocks: int, sweeps: int, legs: int) -> int:
    """Hops that a run with a given omega waits for, where nothing else takes time."""
    chain, pair = chain_hops(hosts, blocks), pair_hops(hosts, blocks)
    return sweeps * pair + legs * (HOPS_OF_LEG + max(0, chain - pair))


def chain_hops(hosts: int, blocks: int) -> int:
    """From the first block of a sweep to the last: between workers a slice is a task of its own."""
    return blocks + hosts - 1


def pair_hops(hosts: int, blocks: int) -> int:
    """From a pass of a block, through the block next to it, to its next pass."""
    return 4 if hosts > 1 else min(blocks, 2)
