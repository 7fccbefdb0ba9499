"""Blocks of one unknown each, which wait, send and report as real ones and spend said seconds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dasksor.engine.host import Host
from dasksor.engine.method import Method
from dasksor.partition import Exchange, Partition


class CostRows:
    """Rows that do no arithmetic to speak of: each pass and residual adds its seconds to `spent`.

    As a matrix they are one row of the identity, whatever they read from the blocks next to them.

    Parameters
    ----------
    block, nblocks : int
    sweep, product : float
        Seconds of a pass and of a residual.
    """

    size = 1

    def __init__(self, block: int, nblocks: int, sweep: float, product: float) -> None:
        self.columns = np.arange(max(0, block - 1), min(nblocks, block + 2))
        self.own = int(block > 0)
        self.diagonal = np.ones(1)
        self.spent = 0.0
        self._sweep, self._product = sweep, product

    def sweep(
        self, x: np.ndarray, b: np.ndarray, omega: float, direction: int, count: int = 1
    ) -> np.ndarray:
        self.spent += count * self._sweep
        x[:, self.own] = b[:, 0]
        return np.ones(count)

    def residual(self, x: np.ndarray, b: np.ndarray, r: np.ndarray) -> None:
        self.spent += self._product
        r[:, 0] = b[:, 0] - x[:, self.own]

    def summed(self, groups: np.ndarray, count: int) -> np.ndarray:
        result = np.zeros((1, count))
        result[0, groups[self.own]] = 1.0
        return result


class Spent(Sequence[float]):
    """For each block the seconds of its last piece of work, asked for when it is done.

    Parameters
    ----------
    hosts : sequence of Host
    rows : sequence of CostRows
    work, post : float
        Seconds for each piece of work, and for each message that it has left to send.
    """

    def __init__(
        self, hosts: Sequence[Host], rows: Sequence[CostRows], work: float, post: float
    ) -> None:
        self._rows, self._work, self._post = rows, work, post
        self._host = {p: host for host in hosts for p in host.blocks}

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, p: Any) -> Any:
        rows, messages = self._rows[p], len(self._host[p].outgoing)
        seconds, rows.spent = rows.spent, 0.0
        return seconds + self._work + self._post * messages


def chain(
    method: Method,
    nblocks: int,
    nhosts: int,
    *,
    sweep: float,
    product: float,
    work: float = 0.0,
    post: float = 0.0,
) -> tuple[list[Host], Spent]:
    """Hosts with a chain of equal blocks, and the seconds of what they do last."""
    rows = [CostRows(p, nblocks, sweep, product) for p in range(nblocks)]
    links = [_between(p, nblocks) for p in range(nblocks)]
    ones, zeros = [np.ones((1, 1))] * nblocks, [np.zeros((1, 1))] * nblocks
    made = method.blocks(range(nblocks), rows, links, ones, zeros)
    owner = Partition.even(nblocks, nblocks).shared_among(nhosts)
    hosts = [
        Host([b for b in made if owner[b.index] == h], h, leader=method.leader(h, nblocks, nhosts))
        for h in range(nhosts)
    ]
    return hosts, Spent(hosts, rows, work, post)


def _between(p: int, nblocks: int) -> Exchange:
    lower = (p - 1,) if p > 0 else ()
    upper = (p + 1,) if p + 1 < nblocks else ()
    own = len(lower)
    return Exchange(
        lower=lower,
        upper=upper,
        gives={q: slice(0, 1) for q in lower + upper},
        takes={q: slice(0, 1) if q < p else slice(own + 1, own + 2) for q in lower + upper},
    )
