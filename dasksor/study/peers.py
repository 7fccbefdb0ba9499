"""Other systems that solve the same problems, measured beside ours."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from scipy.sparse import csr_array, issparse
from scipy.sparse.linalg import cg

from dasksor.study.problems import Problem

PROGRAMS = Path(__file__).with_name("programs")
C_SOURCE = PROGRAMS / "sor.c"
DISPY_SCRIPT = PROGRAMS / "dispy_sor.py"
FLAGS = ("-O3", "-march=native", "-fopenmp-simd", "-pthread", "-Wall", "-Wextra")
# A dense copy beyond this many bytes is no comparison, and may not fit at all.
LARGEST_DENSE = 2 << 30


class Peer(Protocol):
    """A system that solves problems; its runs fill the fields of a record."""

    @property
    def name(self) -> str: ...
    @property
    def modes(self) -> tuple[str, ...]: ...

    def available(self) -> str | None:
        """None, or why it cannot run here."""

    def run(
        self, problem: Problem, workers: int, mode: str, *, rtol: float, timeout: float
    ) -> dict[str, Any]:
        """Fields of a record; only ``skipped``, with the reason, where it cannot be run.

        ``success`` is that the relative residual, measured here from the answer, meets `rtol`.
        """


class PeerError(RuntimeError):
    """A peer's program went wrong; the message is its last line."""


# Programs of their own, which take the dense matrix from a file


class _Files:
    """Matrices and vectors of problems as files, written once each."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="dasksor-peer-")
        self._paths: dict[str, tuple[Path, Path]] = {}

    @property
    def folder(self) -> Path:
        return Path(self._folder.name)

    def of(self, problem: Problem) -> tuple[Path, Path]:
        if problem.name not in self._paths:
            stem = self.folder / str(len(self._paths))
            A = problem.A.toarray() if issparse(problem.A) else problem.A
            matrix, rhs = stem.with_suffix(".A.npy"), stem.with_suffix(".b.npy")
            np.save(matrix, np.ascontiguousarray(A, dtype=np.float64))
            np.save(rhs, np.asarray(problem.b, dtype=np.float64))
            self._paths[problem.name] = matrix, rhs
        return self._paths[problem.name]


def _too_large(problem: Problem) -> str | None:
    size = 8 * problem.A.shape[0] ** 2
    if size <= LARGEST_DENSE:
        return None
    return f"its dense matrix would take {size / 1e9:.0f} GB"


def _call(command: list[Any], timeout: float) -> str:
    """What a program printed; it and all that it started are gone afterwards."""
    with subprocess.Popen(
        [str(word) for word in command],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    ) as process:  # fmt: skip
        try:
            output, errors = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired as error:
            raise PeerError(f"no answer within {timeout:.0f} s") from error
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    if not output.strip():
        said = errors.strip().splitlines() or [f"exit status {process.returncode}"]
        raise PeerError(said[-1])
    return output.strip().splitlines()[-1]


def _run(command: list[Any], problem: Problem, answer: Path, rtol: float, timeout: float) -> dict:
    """One run of a program that prints JSON and writes x."""
    # What starts and loads has its own time; the program's own limit is that of the solve.
    try:
        fields = json.loads(_call(command, timeout + 60.0))
    except PeerError as error:
        return {"skipped": str(error)}
    sweeps = float(np.mean(fields["sweeps_per_block"]))
    return fields | {"sweeps": sweeps} | _judged(problem, np.fromfile(answer), rtol)


def _judged(problem: Problem, x: np.ndarray, rtol: float) -> dict[str, Any]:
    residual = float(np.linalg.norm(problem.b - problem.A @ x) / np.linalg.norm(problem.b))
    return {"residual": residual, "success": residual <= rtol}


class CProgram:
    """Our own C program of the founding project's kind: dense rows, POSIX threads, one ``x``.

    Its blocks change ``x`` in place and never wait (``"asynchronous"``), or meet at a barrier after
    every sweep (``"synchronous"``). `run` ends by the residual, as all others do; `run_seed` by the
    test of 2014: changes of a sweep below ``eps``.
    """

    name = "c"
    modes = ("asynchronous", "synchronous")

    def __init__(self) -> None:
        self._files = _Files()

    def available(self) -> str | None:
        if _compiler() is None:
            return "no C compiler: install cc"
        try:
            self._program  # noqa: B018
        except PeerError as error:
            return f"sor.c cannot be built here: {error}"
        return None

    @functools.cached_property
    def _program(self) -> Path:
        program = self._files.folder / "sor"
        built = subprocess.run(
            [str(_compiler()), *FLAGS, str(C_SOURCE), "-o", str(program), "-lm"],
            capture_output=True, text=True,
        )  # fmt: skip
        if built.returncode:
            raise PeerError((built.stderr.strip().splitlines() or ["compiler failed"])[0])
        return program

    def run(
        self, problem: Problem, workers: int, mode: str, *,
        rtol: float, timeout: float, omega: float = 1.0,
    ) -> dict[str, Any]:  # fmt: skip
        return self._solved(problem, workers, mode, ["-r", rtol], rtol, timeout, omega)

    def run_seed(
        self, problem: Problem, workers: int, mode: str, *,
        eps: float = 1e-8, timeout: float = 60.0, omega: float = 1.0,
    ) -> dict[str, Any]:  # fmt: skip
        """With the test of 2014; what is a success is then up to the reader of ``residual``."""
        return self._solved(problem, workers, mode, ["-e", eps], np.inf, timeout, omega)

    def _solved(
        self, problem: Problem, workers: int, mode: str, stop: list[Any], rtol: float,
        timeout: float, omega: float,
    ) -> dict[str, Any]:  # fmt: skip
        reason = self.available() or _too_large(problem)
        if reason:
            return {"skipped": reason}
        matrix, rhs = self._files.of(problem)
        answer = self._files.folder / "x"
        command = [
            self._program, "-b", rhs, "-t", workers, "-w", omega, *stop, "-l", timeout,
            "-o", answer, *(["-s"] if mode == "synchronous" else []), matrix,
        ]  # fmt: skip
        return _run(command, problem, answer, rtol, timeout)


def _compiler() -> str | None:
    return shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


# Libraries in this process


class PyAMGGaussSeidel:
    """PyAMG's compiled Gauss-Seidel sweep, one thread; the residual is looked at as rarely."""

    name = "pyamg"
    modes = ("sequential",)

    def available(self) -> str | None:
        return _missing("pyamg")

    def run(
        self, problem: Problem, workers: int, mode: str, *, rtol: float, timeout: float
    ) -> dict[str, Any]:
        reason = self.available() or _only_one(workers)
        if reason:
            return {"skipped": reason}
        from pyamg.relaxation.relaxation import gauss_seidel

        A, b = csr_array(problem.A), problem.b
        x, target, history = np.zeros(b.size), rtol * np.linalg.norm(b), []
        began, compute, tests, sweeps, more = time.perf_counter(), 0.0, 0.0, 0, 10
        while True:
            start = time.perf_counter()
            gauss_seidel(A, x, b, iterations=more)
            middle = time.perf_counter()
            found, sweeps = float(np.linalg.norm(b - A @ x)), sweeps + more
            now = time.perf_counter()
            compute, tests = compute + middle - start, tests + now - middle
            history.append([now - began, float(sweeps), found / float(np.linalg.norm(b))])
            if not target < found < np.inf or now - began > timeout:
                break
            more = _further(history, rtol)
        return {
            "seconds": now - began, "sweeps": float(sweeps), "sweeps_per_block": [sweeps],
            "omega": 1.0, "compute": compute, "tests": tests, "history": history,
        } | _judged(problem, x, rtol)  # fmt: skip


def _further(history: list[list[float]], rtol: float) -> int:
    """Sweeps until the tolerance at the rate of the last two residuals, 1 to 100."""
    if len(history) < 2:
        return 10
    (_, before, old), (_, after, new) = history[-2:]
    rate = np.log(old / new) / (after - before)
    return 100 if rate <= 0.0 else int(np.clip(np.ceil(np.log(new / rtol) / rate), 1, 100))


class ScipyCG:
    """scipy's conjugate gradients without preconditioner: what everybody has at hand."""

    name = "scipy-cg"
    modes = ("sequential",)

    def available(self) -> str | None:
        return None

    def run(
        self, problem: Problem, workers: int, mode: str, *, rtol: float, timeout: float
    ) -> dict[str, Any]:
        reason = _only_one(workers)
        if reason:
            return {"skipped": reason}
        iterations = 0
        began = time.perf_counter()

        def count(_: np.ndarray) -> None:
            nonlocal iterations
            iterations += 1
            if time.perf_counter() - began > timeout:
                raise TimeoutError

        # Its own residual is by recurrence, so it is asked for a little more.
        try:
            x, _ = cg(problem.A, problem.b, rtol=0.9 * rtol, callback=count)
        except TimeoutError:
            return {"skipped": f"no answer within {timeout:.0f} s"}
        seconds = time.perf_counter() - began
        return {
            "seconds": seconds, "sweeps": float(iterations), "accelerate": "cg", "compute": seconds,
        } | _judged(problem, x, rtol)  # fmt: skip


def _missing(package: str) -> str | None:
    if importlib.util.find_spec(package) is None:
        return f"{package} is not installed: pip install 'dasksor[peers]'"
    return None


def _only_one(workers: int) -> str | None:
    return None if workers == 1 else f"runs in one thread, not in {workers}"


def peers() -> tuple[Peer, ...]:
    """All of them, installed or not."""
    return CProgram(), PyAMGGaussSeidel(), ScipyCG()
