"""What README shows, run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    "README.md",
    "docs/tutorial/first-solve.md",
    "docs/tutorial/cluster.md",
    "docs/howto/resume.md",
]


def python(*words, cwd=None):
    return subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, timeout=150, check=False, cwd=cwd
    )


@pytest.mark.parametrize("page", PAGES)
def test_python_blocks_of_a_page_run_in_order(page, tmp_path):
    text = (ROOT / page).read_text("utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
    found = python("-c", "\n".join(blocks), cwd=tmp_path)
    assert blocks
    assert found.returncode == 0, found.stderr


def test_a_solve_can_be_traced():
    found = python(str(ROOT / "examples" / "trace.py"), "async", "20")
    assert found.returncode == 0, found.stderr
    assert "converged: the residual meets the tolerance" in found.stdout
    assert "not converged" not in found.stdout
