"""Linear programs: against HiGHS, by certificates, and what is refused."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import scipy.optimize
import scipy.sparse as sp
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from dasksor import linprog, problems, read_lp
from dasksor.cli import main
from dasksor.rowaction.program import checked

DATA = Path(os.environ.get("DASKSOR_DATA", "nowhere"))


def random_program(seed, *, feasible):
    """Small, with every kind of bound; integers make degenerate ones."""
    rng = np.random.default_rng(seed)
    n, above, equal = rng.integers(1, 9), rng.integers(0, 8), rng.integers(0, 4)

    def numbers(*shape):
        if seed % 2:
            return rng.integers(-4, 5, shape).astype(float)
        return np.round(3 * rng.standard_normal(shape), 3)

    A, E, x, c = numbers(above, n), numbers(equal, n), numbers(n), numbers(n)
    b = A @ x + np.abs(numbers(above)) if feasible else numbers(above)
    kinds = [(None, None), (0, None), (-1, 2), (None, 1), (0, 0)]
    bounds = [kinds[k] for k in rng.integers(0, len(kinds), n)]
    shifted = [tuple(v if v is None else v + x[j] for v in pair) for j, pair in enumerate(bounds)]
    return {
        "c": c,
        "A_ub": A if above else None,
        "b_ub": b if above else None,
        "A_eq": E if equal else None,
        "b_eq": (E @ x if feasible else numbers(equal)) if equal else None,
        "bounds": shifted,
    }


def assert_optimal(result, program, tol=1e-8):
    """By dense arithmetic of this function's own."""
    p = checked(**program)
    A, (lower, upper), k = p.A.toarray(), p.box, p.inequalities
    y = np.concatenate([result.ineqlin.marginals, result.eqlin.marginals])
    excess = A @ result.x - p.b
    assert np.all(excess[:k] <= tol * (1 + np.max(np.abs(p.b), initial=0.0)))
    assert np.all(np.abs(excess[k:]) <= tol * (1 + np.max(np.abs(p.b), initial=0.0)))
    assert np.all((lower <= result.x) & (result.x <= upper))
    assert np.all(y[:k] <= 0)
    costs = p.c - A.T @ y
    left = costs - result.lower.marginals - result.upper.marginals
    assert np.max(np.abs(left)) <= tol * (1 + np.max(np.abs(p.c)))
    assert np.all(result.lower.marginals >= 0)
    assert np.all(result.upper.marginals <= 0)
    dual = p.b @ y
    for side, bound in ((result.lower, lower), (result.upper, upper)):
        paid = side.marginals != 0
        dual += bound[paid] @ side.marginals[paid]
    assert abs(result.fun - dual) <= tol * (1 + abs(result.fun) + abs(dual))


@settings(max_examples=60)
@given(seed=st.integers(0, 10**6))
def test_feasible_programs_end_as_those_of_highs(seed):
    program = random_program(seed, feasible=True)
    found, known = linprog(**program), scipy.optimize.linprog(**program)
    assert found.status in (0, 3, 4)
    if found.status != 0:
        # HiGHS calls some of these infeasible; the ray and the point are the proof.
        assert known.status in (2, 3)
        assert checked(**program).proves_unbounded(found.certificate)
        # Of others the point was not found, and so nothing is claimed.
        assert found.status == 4 or found.infeasibility <= 1e-8
        return
    assert found.fun == pytest.approx(known.fun, rel=1e-6, abs=1e-6)
    assert_optimal(found, program)


@settings(max_examples=60)
@given(seed=st.integers(0, 10**6))
def test_no_answer_is_wrong(seed):
    program = random_program(seed, feasible=False)
    found, known = linprog(**program), scipy.optimize.linprog(**program)
    if found.status == 0:
        assert_optimal(found, program)
    elif found.status == 2:
        assert known.status in (2, 4)
        assert checked(**program).proves_infeasible(found.certificate)
    elif found.status == 3:
        assert checked(**program).proves_unbounded(found.certificate)
        assert found.infeasibility <= 1e-8


def test_the_three_ends_by_hand():
    optimal = linprog([-1.0, -2.0], [[1.0, 1.0]], [4.0], bounds=[(0, 3), (0, 3)])
    assert optimal.success
    assert optimal.x == pytest.approx([1.0, 3.0])
    assert optimal.ineqlin.marginals == pytest.approx([-1.0])
    assert optimal.upper.marginals == pytest.approx([0.0, -1.0], abs=1e-6)
    assert optimal.slack == pytest.approx([0.0], abs=1e-7)
    infeasible = linprog([1.0, 1.0], [[1.0, 1.0]], [-1.0])
    assert infeasible.status == 2
    assert infeasible.certificate[0] < 0
    unbounded = linprog([-1.0, 0.0], [[0.0, 1.0]], [1.0])
    assert unbounded.status == 3
    assert unbounded.certificate[0] > 0
    neither = linprog([-1.0, 0.0], [[0.0, 1.0]], [-1.0])
    assert neither.status == 2  # both it and its dual are infeasible


def test_a_box_alone():
    found = linprog([1.0, -2.0, 0.0], bounds=[(-1, 5), (0, 4), (None, None)])
    assert found.fun == pytest.approx(-9.0)


@pytest.mark.parametrize("blocks", [1, 3])
def test_sor_alone(blocks):
    program = random_program(8, feasible=True) | {"bounds": (-3, 3)}
    known = scipy.optimize.linprog(**program)
    found = linprog(**program, accelerate=None, tol=1e-5, blocks=blocks)
    assert found.success
    assert found.newton_steps == 0
    assert found.fun == pytest.approx(known.fun, rel=1e-4)
    assert_optimal(found, program, tol=1e-5)


def test_blocks_on_workers_are_those_of_threads(processes, tidy):
    c, A, b, x = problems.lp(20, 60, seed=1)
    options = {"accelerate": None, "tol": 0.1, "maxiter": 1, "blocks": 2}
    here = linprog(c, A, b, **options)
    there = linprog(c, A, b, **options, client=processes)
    assert np.array_equal(here.x, there.x)
    assert linprog(c, A, b, client=processes).x == pytest.approx(x, abs=1e-5)
    assert linprog([1.0], bounds=(2, 3), client=processes).x == pytest.approx([2.0])


def test_sparse_as_dense():
    c, A, b, x = problems.lp(30, 100, seed=3)
    dense = linprog(c, A.toarray(), b)
    assert dense.success
    assert np.array_equal(linprog(c, sp.coo_array(A), b).x, dense.x)
    assert dense.x == pytest.approx(x, abs=1e-5)
    assert dense.fun == pytest.approx(c @ x)


@settings(max_examples=15)
@given(seed=st.integers(0, 10**6))
def test_least_norm(seed):
    # c = 0 along half the unknowns makes the optimal face large.
    rng = np.random.default_rng(seed)
    A, x = rng.standard_normal((3, 8)), rng.random(8)
    c = np.where(np.arange(8) < 4, 0.0, 1.0)
    program = {"c": c, "A_eq": A, "b_eq": A @ np.where(c > 0, 0.0, x)}
    found = linprog(**program, least_norm=True)
    assert found.success
    assert found.fun == pytest.approx(0.0, abs=1e-7)
    # The nearest point of {A x = b, x_1..4 >= 0} to 0, by an active-set method for NNLS.
    heavy = 1e5
    near = scipy.optimize.nnls(
        np.vstack([heavy * A[:, :4], np.eye(4)]), np.append(heavy * program["b_eq"], np.zeros(4))
    )[0]
    assert np.linalg.norm(found.x) <= np.linalg.norm(near) * (1 + 1e-4)


def read_mps(name):
    pytest.importorskip("highspy")
    if not (DATA / name).exists():
        pytest.skip("DASKSOR_DATA has no Netlib programs")
    return read_lp(DATA / name)


@pytest.mark.parametrize(
    ("name", "value"), [("afiro.mps", -464.7531428571), ("adlittle.mps", 225494.9631624)]
)
def test_netlib(name, value):
    program = read_mps(name)
    found = linprog(**program)
    assert found.success
    assert found.fun == pytest.approx(value, rel=1e-7)
    assert_optimal(found, program)
    least = linprog(**program, least_norm=True)
    assert least.success
    assert least.fun == pytest.approx(value, rel=1e-7)
    assert np.linalg.norm(least.x) <= np.linalg.norm(found.x) + 1e-6


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"c": [np.nan, 1.0]}, "c has entries that are not finite"),
        ({"b_ub": [1.0, 2.0]}, r"give shapes \(2, 2\) and \(2,\)"),
        ({"b_ub": [np.inf]}, "b_ub has entries that are not finite"),
        ({"A_eq": [[1.0, 1.0]]}, "A_eq and b_eq belong together"),
        ({"bounds": [(2, 1), (0, 1)]}, r"bounds of x\[0\] leave nothing between 2.0 and 1.0"),
        ({"bounds": [(0, 1)] * 3}, r"bounds have shape \(3, 2\)"),
        ({"bounds": (np.nan, 1)}, "NaN"),
        ({"tol": 0.0}, "tol must lie in"),
        ({"omega": 2.0}, r"omega must lie in \(0, 2\), got 2.0"),
        ({"accelerate": "cg"}, "accelerate must be 'newton' or None"),
        ({"maxiter": 0}, "maxiter must be at least 1"),
        ({"timeout": 0}, "timeout must be positive"),
        ({"blocks": 0}, "blocks must be at least 1"),
    ],
)
def test_refused(wrong, message):
    program = {"c": [1.0, 1.0], "A_ub": [[1.0, 1.0]], "b_ub": [1.0]}
    with pytest.raises(ValueError, match=message):
        linprog(**(program | wrong))


def test_limits_are_no_success():
    c, A, b, _ = problems.lp(30, 100, seed=3)
    found = linprog(c, A, b, maxiter=1)
    assert (found.status, found.success) == (1, False)
    assert "not decided" in found.message


SMALL = """NAME SMALL
ROWS
 N  COST
 L  LIMIT
 E  EVEN
COLUMNS
    X  COST  -1.0  LIMIT  1.0
    X  EVEN  1.0
    Y  COST  -2.0  LIMIT  1.0
    Y  EVEN  -1.0
RHS
    RHS  LIMIT  4.0
ENDATA
"""


def test_command_line(tmp_path):
    pytest.importorskip("highspy")
    file, out = tmp_path / "small.mps", tmp_path / "x.npy"
    file.write_text(SMALL)
    shown = CliRunner().invoke(main, ["linprog", str(file), "-o", str(out)])
    assert shown.exit_code == 0, shown.output
    assert "small.mps: optimal" in shown.output
    assert np.load(out) == pytest.approx([2.0, 2.0], abs=1e-6)
    shown = CliRunner().invoke(main, ["linprog", str(file), "--json", "--least-norm"])
    assert json.loads(shown.output)["fun"] == pytest.approx(-6.0)
    file.write_text(SMALL.replace(" L  LIMIT", " G  LIMIT"))
    assert CliRunner().invoke(main, ["linprog", str(file), "--sor-only"]).exit_code == 1
    missing = CliRunner().invoke(main, ["linprog", str(tmp_path / "none.mps")])
    assert missing.exit_code == 2
    assert "no such file" in missing.output
    file.write_text("no program")
    assert CliRunner().invoke(main, ["linprog", str(file)]).exit_code == 2
