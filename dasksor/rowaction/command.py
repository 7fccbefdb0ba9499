"""``dasksor linprog``: a linear program from a file."""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
from scipy.optimize import OptimizeResult

from dasksor.rowaction.linprog import linprog as solved
from dasksor.rowaction.reading import read_lp
from dasksor.terminal import FILE, as_json_text, check_output, cluster, one_line_errors

NUMBERS = (
    "fun", "infeasibility", "dual_infeasibility", "gap",
    "nit", "sweeps", "newton_steps", "factorizations",
)  # fmt: skip


@click.command("linprog")
@click.argument("program", type=FILE)
@click.option(
    "--workers", type=click.IntRange(min=1), help="Sweep blocks of rows in this many processes."
)
@click.option("--tol", type=float, default=1e-8, show_default=True)
@click.option("--maxiter", type=int, default=200, show_default=True, help="Most proximal steps.")
@click.option("--timeout", type=float, help="Seconds.")
@click.option("--omega", type=float, default=1.0, show_default=True, help="In (0, 2).")
@click.option("--sor-only", is_flag=True, help="No Newton steps between the sweeps.")
@click.option("--least-norm", is_flag=True, help="The optimal x of least 2-norm.")
@click.option("-o", "output", type=FILE, help="Write x here, in NumPy's npy format.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def linprog(
    program: Path,
    workers: int | None,
    tol: float,
    maxiter: int,
    timeout: float | None,
    omega: float,
    sor_only: bool,
    least_norm: bool,
    output: Path | None,
    as_json: bool,
) -> None:
    """Solve the linear program in the file PROGRAM, in MPS or LP format.

    Needs highspy, which the extra "lp" brings.

    Exit status: 0 optimal, 1 not, 2 bad usage or input.
    """
    with one_line_errors():
        check_output(output)
        arguments = read_lp(program)
        with cluster(workers) as client:
            result = solved(
                **arguments,
                tol=tol,
                maxiter=maxiter,
                timeout=timeout,
                omega=omega,
                accelerate=None if sor_only else "newton",
                least_norm=least_norm,
                client=client,
            )
        if output:
            with output.open("wb") as file:
                np.save(file, result.x)
    click.echo(_json(program, result) if as_json else _told(program, result))
    raise SystemExit(0 if result.success else 1)


def _told(program: Path, result: OptimizeResult) -> str:
    return "\n".join(
        [
            f"{program.name}: {result.message}",
            f"objective {result.fun:.12g}, duality gap {result.gap:.1e}, infeasibility "
            f"{result.infeasibility:.1e} primal, {result.dual_infeasibility:.1e} dual",
            f"{result.nit} proximal steps: {result.sweeps} sweeps of SOR, {result.newton_steps} "
            f"Newton steps, {result.factorizations} factorisations",
        ]
    )


def _json(program: Path, result: OptimizeResult) -> str:
    content = {"file": str(program), "status": int(result.status), "message": result.message}
    return as_json_text(content | {name: result[name] for name in NUMBERS})
