"""Other systems: they solve what they are given, or say why not."""

import json
import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pytest

from dasksor import problems
from dasksor.files import write_seed
from dasksor.study import outside
from dasksor.study.peers import CProgram, Dispy, PyAMGGaussSeidel, ScipyCG, peers, pycos_latency


@dataclass
class Problem:
    name: str
    A: object
    b: np.ndarray


@pytest.fixture(scope="module")
def problem():
    A = problems.dense_spd(201, dominance=0.3)
    return Problem("dense:201", A, problems.seed_rhs(A)[0])


@pytest.fixture(scope="module")
def c():
    peer = CProgram()
    if peer.available():
        pytest.skip(peer.available())
    return peer


@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize("mode", CProgram.modes)
def test_c_solves(c, problem, mode, workers):
    fields = c.run(problem, workers, mode, rtol=1e-9, timeout=20)
    assert fields["success"]
    assert fields["residual"] <= 1e-9
    assert len(fields["sweeps_per_block"]) == workers
    assert fields["sweeps"] == np.mean(fields["sweeps_per_block"])
    seconds, _, last = fields["history"][-1]
    assert last == pytest.approx(fields["residual"], rel=1e-3)
    assert 0 < seconds <= fields["seconds"]
    if mode == "synchronous":
        assert len(set(fields["sweeps_per_block"])) == 1


def test_c_sweeps_alone_as_the_definition_says(c, problem):
    A, b = problem.A, problem.b
    x = np.zeros(b.size)
    fields = c.run(problem, 1, "synchronous", rtol=1e-6, timeout=20, omega=1.1)
    for _ in range(int(fields["sweeps"])):
        for i in range(b.size):
            x[i] += 1.1 / A[i, i] * (b[i] - A[i] @ x)
    found = np.linalg.norm(b - A @ x) / np.linalg.norm(b)
    assert fields["residual"] == pytest.approx(found, rel=1e-6)


@pytest.mark.parametrize("mode", CProgram.modes)
def test_c_ends_by_the_test_of_2014(c, problem, mode):
    fields = c.run_seed(problem, 3, mode, eps=1e-10)
    assert fields["residual"] < 1e-6
    assert fields["history"] == []


def test_c_reads_the_text_of_2014(c, tmp_path):
    A = problems.dense_spd(30, dominance=0.3)
    write_seed(tmp_path / "A.txt", A)
    command = [c._program, "-t", "2", "-r", "1e-10", "-o", tmp_path / "x", tmp_path / "A.txt"]
    said = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(said.stdout)["success"]
    np.testing.assert_allclose(np.fromfile(tmp_path / "x"), np.arange(1.0, 31.0), rtol=1e-7)


def test_c_gives_up_in_time(c):
    A = np.array([[1.0, 3.0], [3.0, 1.0]])
    fields = c.run(Problem("wild", A, np.ones(2)), 2, "asynchronous", rtol=1e-9, timeout=0.5)
    assert not fields["success"]


def test_what_cannot_be_run_says_why(problem, monkeypatch):
    large = Problem("large", problems.poisson((300, 300)), np.ones(90_000))
    if not CProgram().available():
        assert "65 GB" in CProgram().run(large, 1, "synchronous", rtol=1.0, timeout=1)["skipped"]
    assert "one thread" in ScipyCG().run(problem, 2, "sequential", rtol=1.0, timeout=1)["skipped"]
    monkeypatch.setattr(outside.shutil, "which", lambda name: None)
    peer = CProgram()
    assert "cc" in peer.available()
    assert "cc" in peer.run(problem, 1, "synchronous", rtol=1.0, timeout=1)["skipped"]


def test_a_source_that_does_not_compile_is_a_reason(tmp_path, c, monkeypatch):
    broken = tmp_path / "sor.c"
    broken.write_text("int main(void) { return }\n")
    monkeypatch.setattr(outside, "C_SOURCE", broken)
    assert "error" in CProgram().available()


def test_libraries_solve(problem):
    for peer in (PyAMGGaussSeidel(), ScipyCG()):
        if peer.available():
            continue
        fields = peer.run(problem, 1, "sequential", rtol=1e-8, timeout=20)
        assert fields["success"]
        assert fields["sweeps"] > 0


def test_names_differ():
    assert len({peer.name for peer in peers()}) == len(peers())


@pytest.mark.parametrize("mode", Dispy.modes)
def test_dispy_solves(problem, mode):
    peer = Dispy()
    if peer.available():
        pytest.skip(peer.available())
    # Each synchronous sweep takes a tenth of a second.
    rtol = 1e-6 if mode == "asynchronous" else 0.03
    fields = peer.run(problem, 2, mode, rtol=rtol, timeout=30)
    assert fields["success"], fields
    assert len(fields["sweeps_per_block"]) == 2


def test_pycos_answers():
    found = pycos_latency(8000, trips=20)
    if found is None:
        pytest.skip("pycos is not installed")
    assert found > 0


def test_a_program_that_hangs_is_ended():
    with pytest.raises(outside.PeerError, match="no answer"):
        outside._call([sys.executable, "-c", "import time; time.sleep(60)"], 0.3)


def test_a_program_that_fails_says_why():
    with pytest.raises(outside.PeerError, match="such a pity"):
        outside._call([sys.executable, "-c", "raise SystemExit('such a pity')"], 10)
