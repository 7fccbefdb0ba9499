"""The command line: ``dasksor solve``, ``lcp``, ``linprog``, ``info``, ``plan``, ``study``."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import click
import numpy as np
from rich.console import Console

import dasksor
from dasksor import demo as demonstration
from dasksor.choices import available_cores
from dasksor.complementarity.command import lcp
from dasksor.options import ACCELERATIONS, AUTO, MODES
from dasksor.planning.command import plan
from dasksor.problems import seed_rhs
from dasksor.progress import Watch
from dasksor.result import Result
from dasksor.rowaction.command import linprog
from dasksor.study.command import study
from dasksor.survey import Survey, survey
from dasksor.terminal import (
    FILE,
    WordOr,
    as_json_text,
    check_output,
    cluster,
    one_line_errors,
    profiled,
)


class _Bound(click.ParamType):
    """One number for all unknowns, or a file with one for each."""

    name = "number|file"

    def convert(self, value: Any, param: Any, ctx: Any) -> float | Path:
        try:
            return float(value)
        except ValueError:
            return Path(value)


@click.group()
@click.version_option(dasksor.__version__, prog_name="dasksor")
def main() -> None:
    """Large linear systems by successive over-relaxation (SOR) on Dask."""


@main.command()
def demo() -> None:
    """Solve two heat problems in every mode, side by side; about half a minute.

    Exit status 0 only if every residual, measured anew, meets its tolerance, and the exact modes
    give the sequential iterate bit for bit.
    """
    raise SystemExit(0 if demonstration.run(Console()) else 1)


@main.command()
@click.argument("matrix", type=FILE, required=False)
@click.option("-b", "rhs", type=FILE, help="Right-hand side; by default A (1, 2, ..., n).")
@click.option(
    "--mode",
    type=click.Choice(MODES),
    default=AUTO,
    show_default=True,
    help="sequential and threads stay in this process, sync and async use Dask.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    help="Start this many worker processes of one thread; mode auto then means async.",
)
@click.option(
    "--omega",
    type=WordOr(float, auto=AUTO),
    default=AUTO,
    show_default=True,
    help="Relaxation factor in (0, 2).",
)
@click.option("--rtol", type=float, default=1e-5, show_default=True)
@click.option("--atol", type=float, default=0.0, show_default=True)
@click.option("--maxiter", type=int, help="Most sweeps or iterations.")
@click.option(
    "--staleness",
    type=WordOr(int, auto=AUTO, none=None),
    default=AUTO,
    show_default=True,
    help="For mode async: 0 is exact SOR, none never waits.",
)
@click.option(
    "--accelerate",
    type=WordOr(None, **{name or "none": name for name in ACCELERATIONS}),
    default=AUTO,
    show_default=True,
    help="cg, for symmetric positive definite A, not in mode sync; chebyshev, for the same, "
    "bicgstab and gmres, for any A, in this process; gcr, for mode async; none: plain sweeps.",
)
@click.option("--lb", type=_Bound(), help="Lower bounds of x: a number, or a file with a vector.")
@click.option("--ub", type=_Bound(), help="Upper bounds; either may be left out.")
@click.option("--blocks", type=int, help="Row blocks, for modes threads, sync and async.")
@click.option("--timeout", type=float, help="Seconds.")
@click.option("--checkpoint", type=FILE, help="Mode async: a folder to write the run to.")
@click.option(
    "--checkpoint-every", type=float, default=60.0, show_default=True, help="Seconds between."
)
@click.option("--resume", "folder", type=FILE, help="Go on with the run in this folder.")
@click.option(
    "--dashboard", is_flag=True, help="Print the link to the page of the solve while it runs."
)
@click.option("--profile", type=FILE, help="Write Dask's performance report here, as HTML.")
@click.option("-o", "output", type=FILE, help="Write x here, in NumPy's npy format.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.pass_context
def solve(
    context: click.Context,
    matrix: Path | None,
    rhs: Path | None,
    lb: float | Path | None,
    ub: float | Path | None,
    workers: int | None,
    folder: Path | None,
    dashboard: bool,
    profile: Path | None,
    output: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Solve A x = b for the A in the file MATRIX and print how it went.

    With --lb or --ub x is held between bounds, and the natural residual is measured.

    MATRIX is Matrix Market (.mtx, .mtx.gz), .npz, .npy, or text "n n nnz", lines "i j value",
    "0 0 0". Without -b the right-hand side is A (1, 2, ..., n), so that the error is known.

    With --resume, and no MATRIX, a run goes on that was cut short after --checkpoint; only
    --workers, --timeout, -o and --json may be given with it.

    Exit status: 0 converged, 1 not, 2 bad usage or input.
    """
    if folder is not None:
        _check_alone(context)
        result = _resumed(folder, workers, options["timeout"], output)
        _end(result, output, as_json, given=f"system of {folder}")
    if matrix is None:
        raise click.UsageError("Missing argument 'MATRIX': give a file, or --resume with a folder")
    for flag, given in (("workers", workers), ("dashboard", dashboard), ("profile", profile)):
        if given and options["mode"] in ("sequential", "threads"):
            raise click.UsageError(
                f"--{flag} has no meaning with --mode {options['mode']}: leave one out"
            )
    if dashboard or profile:
        workers = workers or available_cores()
    if workers and options["mode"] == AUTO:
        options["mode"] = "async"
    with one_line_errors():
        check_output(output)
        check_output(profile)
        A = dasksor.read(matrix)
        b = seed_rhs(A)[0] if rhs is None else dasksor.read_vector(rhs)
        if lb is not None or ub is not None:
            options["bounds"] = (_bound(lb, -math.inf), _bound(ub, math.inf))
        target = max(options["rtol"] * float(np.linalg.norm(b)), options["atol"])
        with (
            cluster(workers, has_page=dashboard) as client,
            profiled(client, profile),
            Watch(Console()) as watch,
        ):
            options |= {"client": client, "callback": watch.follow(matrix.name, target)}
            result = dasksor.solve(A, b, **options)
        if profile:
            from dasksor.charts.solve import add_phases

            add_phases(result.to_dict(), profile)
    # Between bounds the solution is another than (1, 2, ..., n).
    made = None if result.active is None else "A (1, 2, ..., n)"
    _end(result, output, as_json, given=made if rhs is None else str(rhs))


@main.command()
@click.argument("matrix", type=FILE)
@click.option("--json", "as_json", is_flag=True, help="Print the facts as JSON.")
def info(matrix: Path, as_json: bool) -> None:
    """Say what SOR can expect of the matrix in the file MATRIX."""
    with one_line_errors():
        found = survey(dasksor.read(matrix))
    if as_json:
        click.echo(as_json_text({"file": str(matrix)} | found.to_dict()))
        return
    facts = _facts(found)
    width = max(map(len, facts))
    for name, text in facts.items():
        click.echo(f"{name:<{width}}  {text}")


main.add_command(lcp)
main.add_command(linprog)
main.add_command(plan)
main.add_command(study)


# Helpers


def _bound(given: float | Path | None, missing: float) -> Any:
    if given is None:
        return missing
    return dasksor.read_vector(given) if isinstance(given, Path) else given


def _check_alone(context: click.Context) -> None:
    """Refuse what a resumed run has brought with it."""
    fitting = {"folder", "workers", "timeout", "output", "as_json"}
    for parameter in context.command.params:
        name = parameter.name or ""
        source = context.get_parameter_source(name)
        if name not in fitting and source is click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError(
                f"{parameter.opts[-1]} has no meaning with --resume: the run has brought its own"
            )


def _resumed(
    folder: Path, workers: int | None, timeout: float | None, output: Path | None
) -> Result:
    with one_line_errors():
        check_output(output)
        with cluster(workers) as client, Watch(Console()) as watch:
            show = watch.follow(folder.name, 0.0)
            return dasksor.resume(folder, client=client, timeout=timeout, callback=show)


def _end(result: Result, output: Path | None, as_json: bool, *, given: str | None) -> NoReturn:
    """Write, print and exit; ``given`` says where b is from, None that the error is known."""
    if output:
        with one_line_errors(), output.open("wb") as file:
            np.save(file, result.x)
    if as_json:
        click.echo(as_json_text(_described(result, given)))
    else:
        for line in _told(result, given, output):
            click.echo(line)
    raise SystemExit(0 if result.success else 1)


def _error(result: Result) -> float:
    """The largest error where the solution is (1, 2, ..., n)."""
    return float(np.max(np.abs(result.x - np.arange(1.0, len(result.x) + 1.0))))


def _described(result: Result, given: str | None) -> dict[str, Any]:
    if given is not None:
        return {"rhs": given} | result.to_dict()
    return {"rhs": "A (1, 2, ..., n)", "max_error": _error(result)} | result.to_dict()


def _told(result: Result, given: str | None, output: Path | None) -> Iterator[str]:
    if given is None:
        yield f"b = A (1, 2, ..., n), as no -b was given; largest error {_error(result):.3e}"
    yield str(result)
    if result.active is not None:
        low, high = (int(np.count_nonzero(result.active == side)) for side in (-1, 1))
        size = result.active.size
        yield f"{low} of {size} unknowns at their lower bound, {high} at the upper one"
    if output:
        yield f"x written to {output}"


def _facts(found: Survey) -> dict[str, str]:
    facts = {
        "size": f"{found.n} x {found.n}, {found.entries} stored entries",
        "symmetric": "yes" if found.symmetric else "no",
        "diagonal": f"{found.zeros} zero, {found.negatives} negative entries",
    }
    if found.dominance is not None:
        word = "strictly dominant" if found.dominance < 1 else "not strictly dominant"
        facts["dominance"] = f"{word}: max_i sum_j |a_ij / a_ii| = {found.dominance:.6g}, j != i"
        word = "yes" if found.is_h_matrix else "not shown"
        facts["H-matrix"] = f"{word}: rho(|J|) <= {found.jacobi_bound:.6g}, J = I - D^-1 A"
    if found.asynchronous_limit is not None:
        facts["asynchronous"] = f"proven for omega below {found.asynchronous_limit:.6g}"
    if found.block_limit is not None:
        facts["block-safe"] = (
            f"{found.blocks} blocks: omega below {found.block_limit:.6g}, if positive definite"
        )
    mode, reason = found.suggestion
    facts["convergence"] = found.convergence
    facts["mode"] = f"{mode}: {reason}" if mode else "none"
    return facts
