"""What README and examples show, run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", README.read_text("utf-8"), re.M | re.S)


def python(*words):
    return subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, timeout=150, check=False
    )


def test_python_blocks_of_the_readme_run_in_order():
    assert len(BLOCKS) >= 4
    found = python("-c", "\n".join(BLOCKS))
    assert found.returncode == 0, found.stderr
    assert "converged: the residual meets the tolerance" in found.stdout


@pytest.mark.parametrize("words", [["quickstart.py"], ["pagerank.py", "5000"]])
def test_example_runs(words):
    found = python(str(ROOT / "examples" / words[0]), *words[1:])
    assert found.returncode == 0, found.stderr
    assert "converged: the residual meets the tolerance" in found.stdout
    assert "not converged" not in found.stdout
