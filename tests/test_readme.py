"""What README shows, run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

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
