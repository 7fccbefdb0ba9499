"""The command line: what it prints, writes and returns, and how it refuses."""

from __future__ import annotations

import io
import json
import subprocess
import sys

import dask
import numpy as np
import pytest
from click.testing import CliRunner
from conftest import BETWEEN_PROCESSES
from rich.console import Console
from scipy.io import mmwrite
from scipy.sparse import csr_array, eye_array

import dasksor
from dasksor import demo, problems
from dasksor.cli import main
from dasksor.files import write_seed
from dasksor.progress import Watch
from dasksor.survey import survey


def run(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


def write(path, A):
    mmwrite(path, A)
    return path


@pytest.fixture
def poisson(tmp_path):
    return write(tmp_path / "poisson.mtx", problems.poisson((12, 11)))


# solve


def test_solve_takes_the_seeds_right_hand_side(poisson, tmp_path):
    found = run("solve", poisson, "--rtol", 1e-10, "-o", tmp_path / "x.out")
    assert found.exit_code == 0
    assert "b = A (1, 2, ..., n)" in found.output
    assert "converged" in found.output
    assert np.allclose(np.load(tmp_path / "x.out"), np.arange(1, 133), atol=1e-6)


def test_solve_reads_b_and_seed_text(tmp_path):
    A = problems.dense_spd(30)
    write_seed(tmp_path / "A.txt", A)
    np.save(tmp_path / "b.npy", A @ np.full(30, 7.0))
    found = run("solve", tmp_path / "A.txt", "-b", tmp_path / "b.npy", "-o", tmp_path / "x.npy")
    assert found.exit_code == 0
    assert "(1, 2, ..., n)" not in found.output
    assert np.allclose(np.load(tmp_path / "x.npy"), 7.0, rtol=1e-3)


def test_bounds_are_numbers_or_files(poisson, tmp_path):
    A, upper = problems.poisson((12, 11)), np.linspace(0.1, 3.0, 132)
    np.save(tmp_path / "ub.npy", upper)
    np.save(tmp_path / "b.npy", np.ones(132))
    bounded = ["solve", poisson, "--lb", -1, "--ub", tmp_path / "ub.npy", "--rtol", 1e-9]
    found = run(*bounded, "-b", tmp_path / "b.npy", "-o", tmp_path / "x.npy")
    assert found.exit_code == 0
    assert "natural residual norm" in found.output
    expected = dasksor.solve(A, np.ones(132), bounds=(-1.0, upper), rtol=1e-9)
    np.testing.assert_allclose(np.load(tmp_path / "x.npy"), expected.x, atol=1e-8)
    touching = np.count_nonzero(expected.active == 1)
    assert f"0 of 132 unknowns at their lower bound, {touching} at the upper one" in found.output
    assert "largest error" not in run(*bounded).output
    refused = run("solve", poisson, "--lb", 4, "--ub", tmp_path / "ub.npy")
    assert refused.exit_code == 2
    assert "lower bound 4 is above the upper bound 0.1 at row 0" in refused.output


def test_json_holds_the_whole_result(poisson):
    found = run("solve", poisson, "--json", "--omega", 1.5, "--mode", "sequential")
    result = json.loads(found.output)
    assert found.exit_code == 0
    assert result["success"]
    assert (result["omega"], result["mode"]) == (1.5, "sequential")
    assert result["max_error"] < 1.0
    assert result["history"][0]["sweeps"] == 0


def test_options_reach_the_solve(poisson):
    options = ("--mode", "async", "--staleness", "none", "--blocks", 3, "--omega", 1.0)
    result = json.loads(run("solve", poisson, "--json", *options).output)
    assert (result["mode"], result["staleness"], result["blocks"]) == ("async", None, 3)
    options = ("--maxiter", 7, "--rtol", 0, "--atol", 1e-30, "--timeout", 60)
    result = json.loads(run("solve", poisson, "--json", *options).output)
    assert (result["sweeps"], result["rtol"], result["atol"]) == (7, 0.0, 1e-30)


@pytest.mark.parametrize(
    ("word", "staleness", "expected"),
    [("auto", "none", "cg"), ("cg", "auto", "cg"), ("none", "none", None), ("auto", "0", None)],
)
def test_acceleration_reaches_the_solve(poisson, word, staleness, expected):
    options = ("--mode", "async", "--staleness", staleness, "--accelerate", word, "--rtol", 1e-3)
    result = json.loads(run("solve", poisson, "--json", *options).output)
    assert (result["success"], result["accelerate"]) == (True, expected)


@pytest.mark.parametrize(
    ("words", "mode", "accelerate", "blocks"),
    [
        (("--mode", "threads", "--blocks", 3), "threads", "cg", 3),
        (("--mode", "sequential", "--accelerate", "cg"), "sequential", "cg", 1),
        (("--mode", "sequential"), "sequential", None, 1),
        ((), "sequential", "cg", 1),
    ],
)
def test_acceleration_in_this_process(poisson, words, mode, accelerate, blocks):
    result = json.loads(run("solve", poisson, "--json", *words).output)
    assert result["success"]
    assert (result["mode"], result["accelerate"], result["blocks"]) == (mode, accelerate, blocks)


def test_a_run_cut_short_is_resumed(poisson, tmp_path):
    folder, answer = tmp_path / "run", tmp_path / "x.npy"
    cut = ("--mode", "async", "--staleness", 0, "--omega", 1.0, "--rtol", 1e-10, "--maxiter", 40)
    assert run("solve", poisson, *cut, "--checkpoint", folder).exit_code == 1
    found = run("solve", "--resume", folder, "-o", answer, "--json")
    result = json.loads(found.output)
    assert result["reason"] == f"resumed from {folder}"
    assert (found.exit_code, result["sweeps"]) == (1, 40)
    assert np.load(answer).shape == (len(np.load(answer)),)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--resume", "nowhere"), "no checkpoint at nowhere"),
        (("--resume", "nowhere", "--omega", 1.5), "--omega has no meaning with --resume"),
        ((), "Missing argument 'MATRIX'"),
    ],
)
def test_what_cannot_be_resumed_is_said_in_one_line(words, message):
    found = run("solve", *words)
    assert found.exit_code == 2
    assert message in found.output


def test_not_converged_is_status_1(poisson):
    found = run("solve", poisson, "--maxiter", 2)
    assert found.exit_code == 1
    assert "not converged" in found.output


def test_divergence_is_valid_json(tmp_path):
    A = write(tmp_path / "A.mtx", csr_array(np.array([[1.0, 1e40], [1e40, 1.0]])))
    found = run("solve", A, "--json", "--omega", 1.0, "--accelerate", "none")
    assert found.exit_code == 1
    result = json.loads(found.output, parse_constant=lambda word: pytest.fail(word))
    assert result["history"][-1]["residual_norm"] is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--omega", 2.5), "omega must lie in (0, 2) or be 'auto', got 2.5"),
        (("--omega", "fast"), "'fast' is none of auto|number"),
        (("--staleness", 1), "staleness has no meaning in mode 'auto'"),
        (("--staleness", "old"), "'old' is none of auto|none|integer"),
        (
            ("--accelerate", "minres"),
            "'minres' is none of auto|cg|chebyshev|gcr|bicgstab|gmres|none",
        ),
        (("--accelerate", "cg", "--mode", "sync"), "accelerate has no meaning in mode 'sync'"),
        (("--accelerate", "none", "--mode", "threads"), "'threads' is for accelerated solves"),
        (("--accelerate", "cg", "--staleness", 0, "--mode", "async"), "leave staleness out"),
        (("--blocks", 9, "--mode", "sequential"), "blocks has no meaning"),
        (("--mode", "fast"), "'fast'"),
        (("--rtol", -1), "rtol must be nonnegative"),
        (("--workers", 0), "--workers"),
        (("--workers", 1, "--mode", "sequential"), "no meaning with --mode sequential"),
        (("--workers", 1, "--mode", "threads"), "no meaning with --mode threads"),
        (("-b", "none.npy"), "no file none.npy"),
        (("-o", "no/such/folder/x.npy"), "cannot write no/such/folder/x.npy"),
    ],
)
def test_bad_usage_is_status_2_without_traceback(poisson, options, message):
    found = run("solve", poisson, *options)
    assert found.exit_code == 2
    assert message in found.output
    assert "Traceback" not in found.output


@pytest.mark.parametrize("command", ["solve", "info"])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no file"),
        ("1 1 1\n1 1 x\n0 0 0\n", "line 2: not a number: 'x'"),
        ("2 2 1\n1 1 1.0\n", "closing line '0 0 0' is missing"),
    ],
)
def test_a_broken_file_is_one_line(tmp_path, command, text, message):
    path = tmp_path / "A.txt"
    if text is not None:
        path.write_text(text)
    found = run(command, path)
    assert found.exit_code == 2
    assert message in found.output
    assert len(found.output.splitlines()) == 1


def test_matrices_that_sor_cannot_solve(tmp_path):
    np.save(tmp_path / "wide.npy", np.ones((2, 3)))
    np.save(tmp_path / "zero.npy", np.array([[1.0, 0.5], [0.5, 0.0]]))
    for command, name, message in (
        ("solve", "wide", "A must be square, got shape (2, 3)"),
        ("info", "wide", "A must be square, got shape (2, 3)"),
        ("solve", "zero", "zero on the diagonal in row 1"),
    ):
        found = run(command, tmp_path / f"{name}.npy")
        assert (found.exit_code, message in found.output) == (2, True), found.output
    assert "nonzero diagonal" in run("info", tmp_path / "zero.npy").output


def test_trouble_on_the_way_is_one_line_and_status_1(poisson, monkeypatch):
    def lost(*_, **__):
        raise RuntimeError("lost worker tcp://a:1 during the solve: run again")

    monkeypatch.setattr(dasksor, "solve", lost)
    found = run("solve", poisson)
    assert (found.exit_code, found.output.count("\n")) == (1, 1)
    assert "lost worker" in found.output


def test_a_module_run_on_worker_processes(poisson, tmp_path):
    command = [sys.executable, "-m", "dasksor", "solve", poisson, "--workers", "2", "--json"]
    found = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert found.returncode == 0, found.stderr
    result = json.loads(found.stdout)
    assert (result["mode"], result["workers"]) == ("async", 2)
    assert result["mailbox"] == BETWEEN_PROCESSES
    assert result["success"]


# info


def test_info_tells_the_facts(poisson):
    found = run("info", poisson)
    assert found.exit_code == 0
    for words in ("132 x 132, 614 stored entries", "0 zero, 0 negative", "mode", "sequential"):
        assert words in found.output
    facts = json.loads(run("info", poisson, "--json").output)
    assert facts["symmetric"]
    assert facts["suggested_mode"] == "sequential"
    assert facts["dominance"] == 1.0


def test_survey_of_a_dominant_matrix():
    found = survey(eye_array(400) + problems.poisson((20, 20)), nblocks=4)
    assert found.is_h_matrix
    assert found.dominance == 0.8
    assert found.asynchronous_limit >= 2.0 / 1.8
    # The cuts are between lines of the grid: one neighbour of a row is on the other side.
    assert found.coupling == 0.2
    assert found.block_limit == pytest.approx(2.0 / 1.2)


def test_survey_finds_an_h_matrix_where_rows_are_not_dominant():
    A, _ = problems.pagerank(problems.random_graph(500))
    found = survey(A)
    assert found.dominance > 1.0
    assert found.jacobi_bound < 0.85 + 1e-9
    assert not found.symmetric
    assert found.block_limit is None


def test_survey_of_a_matrix_that_is_not_definite():
    found = survey(np.array([[1.0, 3.0], [3.0, -1.0]]))
    assert found.negatives == 1
    assert found.block_limit is found.asynchronous_limit is None
    assert "divergence" in found.convergence


def test_survey_counts_zeros_on_the_diagonal():
    found = survey(csr_array(np.array([[1.0, 3.0], [2.0, 0.0]])))
    assert (found.zeros, found.dominance, found.suggestion[0]) == (1, None, None)


@pytest.mark.parametrize("below", [10**6, 0])
@pytest.mark.parametrize("A", [problems.poisson((12, 11)), problems.dense_spd(20)])
def test_suggestion_is_what_solve_chooses(A, below):
    with dask.config.set({"dasksor.sequential-below": below}):
        found = dasksor.solve(A, np.ones(A.shape[0]))
        assert survey(A).suggestion == (found.mode, found.reason)


# demo and progress


def test_demo_holds_on_small_problems():
    out = Console(file=io.StringIO(), width=80)
    assert demo.run(out, [demo.steady_plate(12), demo.time_step(15)])
    text = out.file.getvalue()
    assert text.count("bit for bit") == 4
    assert text.count("async") == 5
    assert text.count(" yes ") == 2
    assert text.count(" None ") == 3
    assert "all of it holds: yes" in text


def test_demo_says_when_an_audit_fails(monkeypatch):
    monkeypatch.setattr(dasksor.Result, "residual", lambda *_: 1.0)
    out = Console(file=io.StringIO(), width=80)
    assert not demo.run(out, [demo.steady_plate(8)])
    assert "all of it holds: NO" in out.file.getvalue()


@pytest.mark.parametrize(("holds", "status"), [(True, 0), (False, 1)])
def test_demo_status(monkeypatch, holds, status):
    monkeypatch.setattr(demo, "run", lambda _: holds)
    assert run("demo").exit_code == status


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_shows_on_a_terminal_only(terminal):
    out = Console(file=io.StringIO(), force_terminal=terminal)
    A = problems.poisson((12, 11))
    with Watch(out) as watch, watch.note("wait"):
        result = dasksor.solve(A, np.ones(132), callback=watch.follow("plate", 1e-4))
    assert (f"{result.sweeps} sweeps, residual" in out.file.getvalue()) == terminal
