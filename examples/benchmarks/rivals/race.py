"""The rounds and the table."""

from __future__ import annotations

import argparse
import csv
import os
import platform
import signal
import statistics
import sys
import tempfile
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from attempt import Attempt
from competitors import COMPETITORS, Here, InPetsc, petsc_version
from systems import System, system

SLOW = 20.0


@dataclass
class Row:
    """One competitor; ``attempts[k]`` is that of round ``k``."""

    competitor: Here | InPetsc
    attempts: list[Attempt] = field(default_factory=list)
    error: str = ""

    @property
    def goes_on(self) -> bool:
        return not self.error and (not self.attempts or self.attempts[-1].seconds < SLOW)

    def take_part(self, given: System, rtol: float, folder: Path, limit: int) -> None:
        before = self.attempts[0] if self.attempts else None
        signal.alarm(limit)
        try:
            found = self.competitor.run(given, rtol, before, folder)
        except Exception as error:  # whatever a rival raises is its result
            self.error = f"{type(error).__name__}: {error}"[:90]
        else:
            self.attempts.append(found)
            if not found.residual <= rtol:
                self.error = f"failed: {found.note}"
        finally:
            signal.alarm(0)

    def latest(self) -> str:
        return self.error or f"{self.attempts[-1].seconds:.2f} s, {self.attempts[-1].note}"

    def cells(self, reference: Row) -> dict[str, Any]:
        seconds = [a.seconds for a in self.attempts]
        rounds = zip(seconds, (a.seconds for a in reference.attempts), strict=False)
        ratios = [] if self.error else [mine / theirs for mine, theirs in rounds]
        return {
            "competitor": self.competitor.name,
            "seconds": round(statistics.median(seconds), 3) if seconds else "",
            "min": round(min(seconds), 3) if seconds else "",
            "max": round(max(seconds), 3) if seconds else "",
            "ratio": round(statistics.median(ratios), 2) if ratios else "",
            "runs": len(seconds),
            "residual": f"{max(a.residual for a in self.attempts):.1e}" if seconds else "",
            "note": self.error or self.attempts[-1].note,
        }


def race(args: argparse.Namespace, threads: int) -> None:
    given = system(args.problem)
    rows = [Row(c) for c in COMPETITORS if c.suits(given) and _asked(c.name, args)]
    if not rows:
        raise SystemExit("nobody of that name takes part: see competitors.py")
    print(_processor(), platform.platform(), f"Python {platform.python_version()}", sep=", ")
    packages = ("dasksor", "numpy", "scipy", "numba", "distributed", "pyamg")
    print(", ".join(f"{name} {version(name)}" for name in packages), petsc_version() or "no PETSc")
    heading = f"{args.problem}: n = {given.b.size:,}, nnz = {given.nnz:,}, rtol {args.rtol:g}, "
    print(f"{heading}{threads} of {os.cpu_count()} cores, b all ones", flush=True)
    signal.signal(signal.SIGALRM, _overtime)
    with tempfile.TemporaryDirectory() as folder:
        _warm_up(rows, given, args.rtol, Path(folder))
        for _ in range(args.repeats):
            for row in filter(lambda row: row.goes_on, rows):
                row.take_part(given, args.rtol, Path(folder), args.limit)
                print(f"{row.competitor.name}: {row.latest()}", file=sys.stderr, flush=True)
    table = [row.cells(rows[0]) for row in rows]
    _print(table)
    if args.csv:
        known = {"problem": args.problem, "n": given.b.size, "nnz": given.nnz, "threads": threads}
        _append(Path(args.csv), [{**known, **cells} for cells in table])


def _asked(name: str, args: argparse.Namespace) -> bool:
    return any(part in name for part in args.only) and not any(p in name for p in args.without)


def _warm_up(rows: list[Row], given: System, rtol: float, folder: Path) -> None:
    """Load what loads at the first call, such as compiled kernels, with the leading unknowns."""
    small = replace(given, A=given.A[:1000, :1000], b=given.b[:1000])
    for row in rows:
        if isinstance(row.competitor, Here):
            Row(row.competitor).take_part(small, rtol, folder, limit=30)


def _print(table: list[dict[str, Any]]) -> None:
    print(f"{'':26}{'seconds':>9}{'min':>9}{'max':>9}{'ratio':>8}{'runs':>6}{'residual':>10}")
    for c in table:
        print(f"{c['competitor']:26}{c['seconds']:>9}{c['min']:>9}{c['max']:>9}", end="")
        print(f"{c['ratio']:>8}{c['runs']:>6}{c['residual']:>10}  {c['note']}")


def _append(path: Path, rows: list[dict[str, Any]]) -> None:
    begins = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        if begins:
            writer.writeheader()
        writer.writerows(rows)


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))


def _overtime(*_: Any) -> None:
    raise TimeoutError("longer than --limit")
