"""What a study keeps: one record for each run of one cell, and what they all have in common."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

RECORDS, META = "records.jsonl", "study.json"


@dataclass(frozen=True)
class Record:
    """One run of one cell.

    Attributes
    ----------
    key : str
        Names the run; a study holds no two of the same.
    problem, system, mode : str
        What was solved, by whom, and how.
    workers, repeat : int
        Threads that swept; the number of the run among those of its cell, from 0.
    n, nnz : int
        Size of the matrix and its stored entries.
    staleness : int, "none" or None
        None where it has no meaning; ``"none"`` for no bound.
    mailbox, accelerate : str or None
        As in `dasksor.Result`.
    seconds : float
        Wall time of the solve, without the start of a cluster.
    sweeps, sweeps_per_block, residual, success, omega
        As measured; the residual relative to ``norm(b)``, from ``x`` where that is at hand.
    setup, compute, communication, tests, waiting : float
        Seconds summed over threads.
    messages, bytes : int
        Between threads.
    history : list of list
        ``[seconds, sweeps, relative residual]`` of each measurement.
    predicted_seconds : float or None
        By the simulator, where it was asked.
    skipped : str or None
        Why there was no run.
    """

    key: str
    problem: str
    system: str
    mode: str
    workers: int
    repeat: int
    n: int = 0
    nnz: int = 0
    staleness: int | str | None = None
    mailbox: str | None = None
    accelerate: str | None = None
    seconds: float = 0.0
    sweeps: float = 0.0
    sweeps_per_block: list[int] = field(default_factory=list)
    residual: float = float("nan")
    success: bool = False
    omega: float = float("nan")
    setup: float = 0.0
    compute: float = 0.0
    communication: float = 0.0
    tests: float = 0.0
    waiting: float = 0.0
    messages: int = 0
    bytes: int = 0
    history: list[list[float]] = field(default_factory=list)
    predicted_seconds: float | None = None
    skipped: str | None = None

    @classmethod
    def of(cls, plain: dict[str, Any]) -> Record:
        """From what json read; unknown names are left out, as later versions may add some."""
        known = {f.name for f in fields(cls)}
        return cls(**{name: value for name, value in plain.items() if name in known})

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass
class Study:
    """Records and what they have in common: name, machine, versions, commit, grid, lines of code.

    Parameters
    ----------
    meta : dict
        What `META` holds: name, began, machine, versions, commit, grid, loc.
    records : list of Record
    """

    meta: dict[str, Any] = field(default_factory=dict)
    records: list[Record] = field(default_factory=list)

    @classmethod
    def load(cls, folder: str | Path) -> Study:
        """Read a folder that a study is kept in.

        Raises
        ------
        FileNotFoundError
            It holds none.
        ValueError
            A line of the records is damaged; one cut off at the end is left out, as its run was
            interrupted.
        """
        folder = Path(folder)
        if not (folder / META).exists():
            raise FileNotFoundError(f"no study in {folder}: no {META} there")
        return cls(json.loads((folder / META).read_text("utf-8")), read_records(folder))

    def save(self, folder: str | Path) -> None:
        """Write all of it, replacing what is there."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / META).write_text(json.dumps(self.meta, indent=1) + "\n", "utf-8")
        lines = "".join(line_of(record) for record in self.records)
        (folder / RECORDS).write_text(lines, "utf-8")

    def table(self) -> list[dict[str, Any]]:
        """A row for each cell: medians over its runs, and their spread."""
        from dasksor.study.tables import rows

        return rows(self.records)

    def report(self, path: str | Path) -> Path:
        """Write one HTML page that needs no network, and say where."""
        # Bokeh takes long to import, and not every study is looked at.
        from dasksor.study.report import write

        write(self, path)
        return Path(path)


def line_of(record: Record) -> str:
    """The record as a line of JSON; NaN stays, as Python's json reads it."""
    return json.dumps(record.to_dict()) + "\n"


def read_records(folder: Path) -> list[Record]:
    """The records of a folder; none where no run has ended yet."""
    path = folder / RECORDS
    text = path.read_text("utf-8") if path.exists() else ""
    whole, _, _cut_off = text.rpartition("\n")
    return list(_records(whole.splitlines(), path))


def _records(lines: Iterable[str], path: Path) -> Iterable[Record]:
    for number, line in enumerate(lines, start=1):
        try:
            yield Record.of(json.loads(line))
        except (ValueError, TypeError) as error:
            raise ValueError(
                f"{path}, line {number} is no record ({error}): delete the line, and its run "
                "is made again"
            ) from error
