"""``dasksor lcp``: a linear complementarity problem from two files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console

import dasksor
from dasksor.options import AUTO, MODES
from dasksor.progress import Watch
from dasksor.terminal import FILE, WordOr, as_json_text, check_output, cluster, one_line_errors


@click.command("lcp")
@click.argument("matrix", type=FILE)
@click.argument("vector", type=FILE)
@click.option("--z0", "start", type=FILE, help="Start; zero by default.")
@click.option("--mode", type=click.Choice(MODES), default=AUTO, show_default=True)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    help="Start this many worker processes of one thread; mode auto then means async.",
)
@click.option("--omega", type=WordOr(float, auto=AUTO), default=AUTO, show_default=True)
@click.option("--rtol", type=float, default=1e-5, show_default=True)
@click.option("--atol", type=float, default=0.0, show_default=True)
@click.option("--maxiter", type=int, help="Most sweeps.")
@click.option("--staleness", type=WordOr(int, auto=AUTO, none=None), default=AUTO)
@click.option("--accelerate", type=WordOr(None, auto=AUTO, cg="cg", none=None), default=AUTO)
@click.option("--blocks", type=int, help="Row blocks, for modes sync and async.")
@click.option("--timeout", type=float, help="Seconds.")
@click.option("-o", "output", type=FILE, help="Write z here, in NumPy's npy format.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def lcp(
    matrix: Path,
    vector: Path,
    start: Path | None,
    workers: int | None,
    output: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Find z >= 0 with w = M z + q >= 0 and z'w = 0 for M in the file MATRIX, q in VECTOR.

    Files as for dasksor solve, whose options mean the same here.

    Exit status: 0 all three conditions hold to tolerance, 1 not, 2 bad usage or input.
    """
    if workers and options["mode"] in ("sequential", "threads"):
        raise click.UsageError(
            f"--workers has no meaning with --mode {options['mode']}: leave one out"
        )
    if workers and options["mode"] == AUTO:
        options["mode"] = "async"
    with one_line_errors():
        check_output(output)
        M, q = dasksor.read(matrix), dasksor.read_vector(vector)
        z0 = None if start is None else dasksor.read_vector(start)
        target = max(options["rtol"] * float(np.linalg.norm(q)), options["atol"])
        with cluster(workers) as client, Watch(Console()) as watch:
            options |= {"client": client, "callback": watch.follow(matrix.name, target)}
            result = dasksor.lcp(M, q, z0, **options)
        if output:
            with output.open("wb") as file:
                np.save(file, result.z)
    click.echo(as_json_text(result.to_dict()) if as_json else str(result))
    if output and not as_json:
        click.echo(f"z written to {output}")
    raise SystemExit(0 if result.success else 1)
