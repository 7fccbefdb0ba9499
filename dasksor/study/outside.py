"""Programs outside of this process: our own in C, on dispy and on pycos."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import issparse

from dasksor.study.peer import judged, missing
from dasksor.study.problems import Problem

PROGRAMS = Path(__file__).with_name("programs")
C_SOURCE = PROGRAMS / "sor.c"
DISPY_SCRIPT = PROGRAMS / "dispy_sor.py"
PYCOS_SCRIPT = PROGRAMS / "pycos_latency.py"
FLAGS = ("-O3", "-march=native", "-fopenmp-simd", "-pthread", "-Wall", "-Wextra")
# A dense copy beyond this many bytes is no comparison, and may not fit at all.
LARGEST_DENSE = 2 << 30


class PeerError(RuntimeError):
    """A peer's program went wrong; the message is its last line."""


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
    # What a killed program leaves in its temporary folder goes with that.
    with (
        tempfile.TemporaryDirectory(prefix="dasksor-peer-", ignore_cleanup_errors=True) as place,
        subprocess.Popen(
            [str(word) for word in command], env=os.environ | {"TMPDIR": place},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        ) as process,
    ):  # fmt: skip
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


def _run(
    files: _Files, command: Callable[[Path, Path, Path], list[Any]], problem: Problem,
    rtol: float, timeout: float,
) -> dict[str, Any]:  # fmt: skip
    """One run of a program that prints JSON; its ``command`` names the files of A, b and x."""
    if reason := _too_large(problem):
        return {"skipped": reason}
    matrix, rhs = files.of(problem)
    answer = files.folder / "x"
    # What starts and loads has its own time; the program's own limit is that of the solve.
    try:
        fields = json.loads(_call(command(matrix, rhs, answer), timeout + 60.0))
    except PeerError as error:
        return {"skipped": str(error)}
    sweeps = float(np.mean(fields["sweeps_per_block"]))
    return fields | {"sweeps": sweeps} | judged(problem, np.fromfile(answer), rtol)


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
            said = [line for line in built.stderr.splitlines() if "error" in line]
            raise PeerError((said or [f"exit status {built.returncode}"])[0])
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
        if reason := self.available():
            return {"skipped": reason}

        def command(matrix: Path, rhs: Path, answer: Path) -> list[Any]:
            return [
                self._program, "-b", rhs, "-t", workers, "-w", omega, *stop, "-l", timeout,
                "-o", answer, *(["-s"] if mode == "synchronous" else []), matrix,
            ]  # fmt: skip

        return _run(self._files, command, problem, rtol, timeout)


def _compiler() -> str | None:
    return shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


class Dispy:
    """Our own version of the same job on the released dispy, with NumPy's products row by row.

    Jobs of mode ``"asynchronous"`` share ``x`` and run until all are quiet; those of
    ``"synchronous"`` do one sweep each.
    """

    name = "dispy"
    modes = ("asynchronous", "synchronous")

    def __init__(self) -> None:
        self._files = _Files()

    def available(self) -> str | None:
        return missing("dispy")

    def run(
        self, problem: Problem, workers: int, mode: str, *,
        rtol: float, timeout: float, omega: float = 1.0,
    ) -> dict[str, Any]:  # fmt: skip
        if reason := self.available():
            return {"skipped": reason}

        def command(matrix: Path, rhs: Path, answer: Path) -> list[Any]:
            return [
                sys.executable, DISPY_SCRIPT, matrix, rhs, answer, "--workers", workers,
                "--omega", omega, "--rtol", rtol, "--timeout", timeout,
                *(["--synchronous"] if mode == "synchronous" else []),
            ]  # fmt: skip

        return _run(self._files, command, problem, rtol, timeout)


def pycos_latency(size: int, trips: int = 200) -> float | None:
    """Seconds that an array of ``size`` bytes takes from process to process; None without pycos."""
    if missing("pycos"):
        return None
    command = [sys.executable, PYCOS_SCRIPT, "--bytes", size, "--trips", trips]
    try:
        return float(json.loads(_call(command, 60.0))["latency"])
    except PeerError:
        return None
