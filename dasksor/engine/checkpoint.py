"""A solve on disk: what is solved, once, and how the run stands, again and again.

A checkpoint is a folder. ``system.pkl`` holds what is solved and how; ``state.pkl`` the newest
snapshot of the unknowns and where the run stood when it was taken, replaced in one step, so that
it is whole whenever the solve ends. Both are pickles: load only what you trust.
"""

from __future__ import annotations

import os
import pickle
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cloudpickle

from dasksor.engine.recall import Recall, Saved
from dasksor.messages import Copy

SYSTEM, STATE = "system.pkl", "state.pkl"


@dataclass(frozen=True)
class State:
    """Where a run stood after snapshot ``epoch``; ``parts`` by block, and there by epoch."""

    epoch: int
    memo: Any
    best: int
    parts: dict[int, dict[int, Saved]]

    @property
    def time(self) -> float:
        """Seconds that the run had taken."""
        return self.memo.course.history[-1].time


class Checkpoint:
    """Writes a run to a folder.

    Parameters
    ----------
    path : str or Path
        The folder; made where it is missing.
    every : float
        Seconds between two states on disk, at least.
    nblocks : int
    case : object
        What `load` needs to go on with the solve; written at once.
    goes_on : bool
        Whether the state that is there already belongs to this solve.

    Raises
    ------
    ValueError
        The system cannot be written: its parts are futures of this cluster, say.
    """

    def __init__(
        self, path: str | Path, every: float, nblocks: int, case: Any, *, goes_on: bool
    ) -> None:
        self.path, self.every = Path(path), every
        self._nblocks = nblocks
        self._written = time.monotonic()
        self._parts: dict[int, dict[int, Saved]] = {}
        try:
            content = cloudpickle.dumps(case, protocol=5)
        except Exception as error:
            raise ValueError(
                f"cannot write the system to {self.path}: {type(error).__name__}: {error}; "
                "leave checkpoint out, or give A and b as arrays or row factories"
            ) from error
        self.path.mkdir(parents=True, exist_ok=True)
        if not goes_on:
            (self.path / STATE).unlink(missing_ok=True)
        _replace(self.path / SYSTEM, content)

    def hear(self, copy: Copy, recall: Recall) -> None:
        """Take a block's part of a snapshot; write the newest whole one when it is time."""
        saved = Saved(copy.values, copy.version, copy.change)
        self._parts.setdefault(copy.epoch, {})[copy.block] = saved
        whole = {epoch for epoch, parts in self._parts.items() if len(parts) == self._nblocks}
        for epoch in sorted(whole, reverse=True):
            found = recall.known(epoch)
            if found is not None and found[1] in whole:
                self._parts = {e: p for e, p in self._parts.items() if e >= epoch or e == found[1]}
                if time.monotonic() - self._written >= self.every:
                    self._write(epoch, *found)
                return

    def newest(self) -> State | None:
        """The state on disk, if one was written."""
        return _read(self.path)

    def _write(self, epoch: int, memo: Any, best: int) -> None:
        needed = sorted({epoch, best})
        parts = {p: {e: self._parts[e][p] for e in needed} for p in range(self._nblocks)}
        _replace(self.path / STATE, pickle.dumps(State(epoch, memo, best, parts), protocol=5))
        self._written = time.monotonic()


def load(path: str | os.PathLike) -> tuple[Any, State | None]:
    """The case of the checkpoint at ``path``, and its newest state, if one was written.

    Raises
    ------
    FileNotFoundError
        There is no checkpoint at ``path``.
    """
    folder = Path(path)
    if not (folder / SYSTEM).is_file():
        raise FileNotFoundError(f"no checkpoint at {folder}: it would have a file {SYSTEM}")
    case = pickle.loads((folder / SYSTEM).read_bytes())
    return case, _read(folder)


def _read(folder: Path) -> State | None:
    state = folder / STATE
    return pickle.loads(state.read_bytes()) if state.is_file() else None


def _replace(path: Path, content: bytes) -> None:
    """Write a file that is always either the old or the new one, also after a power cut."""
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
