"""Virtual time: what happens when, and how messages fare on their way, all drawn from a seed."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


@dataclass(frozen=True)
class Weather:
    """How messages fare, how fast hosts are, and who dies; times in the unit of the caller.

    Attributes
    ----------
    latency : float
        Mean time of a message on its way; half of it is fixed, half exponential.
    loss, duplicates : float
        Probabilities that a message between hosts, or to or from the monitor, vanishes or comes
        twice. Repeats take latencies of their own, so messages overtake each other.
    jitter : float
        Mean of the exponential share of each pass, relative to the pass.
    speed : tuple of float
        For each worker, passes per time relative to the others.
    pause, paused : float, frozenset of int
        Extra time after every pass of the workers in ``paused``.
    patience : float
        Idle hosts repeat their slices, and the monitor its order, after this time.
    deaths, between : int, float
        How many workers die, and the mean time from one death to the next.
    absence : float
        Mean time until a dead worker returns; infinite for never.
    notice : float
        Mean time until a death is noticed, and until hosts that are told to end have done so.
    """

    latency: float
    loss: float
    duplicates: float
    jitter: float
    speed: tuple[float, ...]
    pause: float
    paused: frozenset[int]
    patience: float
    deaths: int
    between: float
    absence: float
    notice: float


class Step(NamedTuple):
    """One piece of work in the trace of a run."""

    host: int
    block: int
    begin: float
    end: float
    version: int


class Clock:
    """Virtual time.

    Parameters
    ----------
    weather : Weather
    rng : numpy.random.Generator
        Decides everything that is left to chance; the same seed gives the same run.
    """

    def __init__(self, weather: Weather, rng: np.random.Generator) -> None:
        self.weather, self.rng = weather, rng
        self.now = 0.0
        self.lost = 0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._ticket = itertools.count()

    def at(self, delay: float, deed: Callable[[], None]) -> None:
        """Do ``deed`` after ``delay``."""
        heapq.heappush(self._events, (self.now + delay, next(self._ticket), deed))

    def soon(self, mean: float, deed: Callable[[], None]) -> None:
        """Do ``deed`` after an exponential time."""
        self.at(mean * self.rng.exponential(), deed)

    def send(self, arrive: Callable[[], None]) -> None:
        """Send a message: ``arrive`` is done late, or twice, or never."""
        weather = self.weather
        copies = 1 + (self.rng.random() < weather.duplicates)
        for _ in range(copies):
            if self.rng.random() < weather.loss:
                self.lost += 1
                continue
            self.at(weather.latency * (0.5 + 0.5 * self.rng.exponential()), arrive)

    def tick(self) -> bool:
        """Let the next thing happen; False when there is none."""
        if not self._events:
            return False
        self.now, _, deed = heapq.heappop(self._events)
        deed()
        return True
