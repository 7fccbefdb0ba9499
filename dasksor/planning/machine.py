"""What work and messages cost on one kind of machine."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Rate:
    """Seconds of work per item, by the bytes of matrix that a core goes through again and again.

    Attributes
    ----------
    sizes : tuple of float
        Bytes, ascending.
    alone, together : tuple of float
        Seconds per item at each size, on one core while the others rest, and on each while all
        cores of a node work: they share caches and memory. Between sizes, and outside, as nearest
        in the logarithm of the size.
    """

    sizes: tuple[float, ...]
    alone: tuple[float, ...]
    together: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.sizes or not len(self.sizes) == len(self.alone) == len(self.together):
            raise ValueError(
                f"a rate needs as many sizes as seconds, at least one, got {len(self.sizes)} sizes "
                f"for {len(self.alone)} and {len(self.together)} seconds"
            )

    def at(self, size: float, busy: float) -> float:
        """Seconds per item with ``busy`` of the other cores at work, a share in [0, 1]."""
        where = math.log(max(size, 1.0)), np.log(self.sizes)
        alone, together = np.interp(*where, self.alone), np.interp(*where, self.together)
        return float(alone + busy * (together - alone))


@dataclass(frozen=True)
class Link:
    """A message of ``b`` bytes is there ``latency + b / bandwidth`` seconds after it was posted."""

    latency: float
    bandwidth: float

    def seconds(self, size: float) -> float:
        return self.latency + size / self.bandwidth


@dataclass(frozen=True)
class Machine:
    """Costs in seconds and bytes per second; `dasksor.calibrate` measures them here.

    Attributes
    ----------
    cores : int
        Worker threads on a node.
    sweep, product : Rate
        Seconds per stored entry of a pass, and of a residual.
    vectors : Rate
        Seconds per unknown of what else a host does in a cycle of conjugate gradients.
    work : float
        Seconds that a host spends on a piece of work, a pass say, besides its arithmetic.
    post : float
        Seconds that it spends on each message to another host, and on one from there.
    near, far : Link
        A slice on its way between hosts of one node, and between nodes.
    line : Link
        A message between a host and the monitor, through the scheduler.
    report : float
        Seconds of the scheduler and of the monitor for each such message: they come one by one.
    coarse : float
        Seconds of the leader for each aggregate in a step of conjugate gradients.
    hop : float
        From the end of a task to the begin of one that waits for it, in mode ``"sync"``.
    task : float
        Seconds of the scheduler for each task: they come one by one.
    """

    cores: int
    sweep: Rate
    product: Rate
    vectors: Rate
    work: float
    post: float
    near: Link
    far: Link
    line: Link
    report: float
    coarse: float
    hop: float
    task: float

    def __post_init__(self) -> None:
        if self.cores < 1:
            raise ValueError(f"cores must be at least 1, got {self.cores}")
        for name in ("work", "post", "report", "coarse", "hop", "task"):
            if not getattr(self, name) >= 0.0:
                raise ValueError(f"{name} must be 0 seconds or more, got {getattr(self, name)}")
        for name in ("near", "far", "line"):
            link = getattr(self, name)
            if not (link.latency >= 0.0 and link.bandwidth > 0.0):
                raise ValueError(
                    f"{name} needs a latency of 0 s or more and a positive bandwidth, got {link}"
                )

    def replace(self, **changes: Any) -> Machine:
        """The same machine with other costs: what if it had a faster network?"""
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """As numbers, lists and dictionaries, for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, costs: dict[str, Any]) -> Machine:
        """Undo `to_dict`.

        Raises
        ------
        ValueError
            A cost is missing, unknown or out of range.
        """
        names = {field.name for field in dataclasses.fields(cls)}
        if set(costs) != names:
            raise ValueError(
                f"a machine needs {', '.join(sorted(names))}; missing: "
                f"{', '.join(sorted(names - set(costs))) or 'none'}, unknown: "
                f"{', '.join(sorted(set(costs) - names)) or 'none'}"
            )
        made: dict[str, Any] = dict(costs)
        for name in ("sweep", "product", "vectors"):
            made[name] = Rate(**{k: tuple(v) for k, v in costs[name].items()})
        for name in ("near", "far", "line"):
            made[name] = Link(**costs[name])
        return cls(**made)

    def save(self, path: str | Path) -> None:
        """Write the costs as JSON."""
        Path(path).write_text(json.dumps(self.to_dict(), indent=2) + "\n", "utf-8")

    @classmethod
    def load(cls, path: str | Path) -> Machine:
        """Read what `save` wrote.

        Raises
        ------
        ValueError
            The file is not JSON, or as for `from_dict`.
        """
        text = Path(path).read_text("utf-8")
        try:
            costs = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"{path} is not JSON ({error}): write it with --calibrate") from error
        if not isinstance(costs, dict):
            raise ValueError(f"{path} holds no machine: write it with --calibrate")
        return cls.from_dict(costs)
