"""Other systems that solve the same problems, measured beside ours."""

from __future__ import annotations

from dasksor.study.libraries import PyAMGGaussSeidel, ScipyCG
from dasksor.study.outside import CProgram, Dispy, pycos_latency
from dasksor.study.peer import Peer, Problem

__all__ = [
    "CProgram",
    "Dispy",
    "Peer",
    "Problem",
    "PyAMGGaussSeidel",
    "ScipyCG",
    "peers",
    "pycos_latency",
]


def peers() -> tuple[Peer, ...]:
    """All of them, installed or not."""
    return CProgram(), Dispy(), PyAMGGaussSeidel(), ScipyCG()
