"""``dasksor study machine``: costs of this machine as a table."""

from __future__ import annotations

import contextlib
import json
import platform
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from dasksor.choices import available_cores
from dasksor.study.costs import FULL, QUICK, Cost, measure


def shown(value: float, unit: str) -> str:
    """A figure with the prefix that suits it."""
    if unit == "B/s":
        return f"{value / 1e9:.3g} GB/s"
    for scale, prefix in ((1e-3, "ms"), (1e-6, "us")):
        if value >= scale:
            return f"{value / scale:.3g} {prefix}"
    return f"{value * 1e9:.3g} ns"


def table(costs: list[Cost]) -> Table:
    """All of them with their limits and sentences."""
    made = Table(title=described(), title_justify="left")
    made.add_column("measured", ratio=3)
    made.add_column("", justify="right", no_wrap=True)
    made.add_column("beside", ratio=2)
    made.add_column("", justify="right", no_wrap=True)
    made.add_column("", ratio=4)
    group = ""
    for cost in costs:
        if cost.group != group:
            group = cost.group
            made.add_section()
            made.add_row(f"[bold]{group}[/]")
        beside, times = "", ""
        if cost.limit:
            beside = f"{cost.limit_name}: {shown(cost.limit, cost.unit)}"
            times = f"x {cost.value / cost.limit:.3g}"
        made.add_row(cost.name, shown(cost.value, cost.unit), beside, times, cost.sentence)
    return made


def described() -> str:
    processor = platform.processor() or platform.machine()
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor = next(li for li in lines if li.startswith("model name")).split(":")[1].strip()
    return f"{processor}, {available_cores()} cores, Python {platform.python_version()}"


@click.command()
@click.option("--quick", is_flag=True, help="Fewer repeats: less than a minute.")
@click.option(
    "--json", "output", type=click.Path(path_type=Path), help="Write the figures here as well."
)
def machine(quick: bool, output: Path | None) -> None:
    """Measure what sharing costs here: cache lines, locks, barriers, messages, memory.

    Each figure stands beside what could be expected at best, with a sentence that says what it
    means.
    """
    if output and (output.is_dir() or not output.absolute().parent.is_dir()):
        raise click.UsageError(f"cannot write {output}: give a file in an existing folder")
    errors = Console(stderr=True)
    with errors.status("measuring") as status:
        costs = measure(QUICK if quick else FULL, lambda group: status.update(f"{group} ..."))
    Console().print(table(costs))
    if output:
        content: dict[str, Any] = {"machine": described(), "costs": [asdict(c) for c in costs]}
        output.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
