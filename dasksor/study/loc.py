"""Lines of code, counted in the same way for every language here."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import dasksor
from dasksor.study.outside import C_SOURCE, DISPY_SCRIPT, PROGRAMS

PACKAGE = Path(dasksor.__file__).parent
# A string, or a comment of either kind: what looks like a comment in a string is none.
_STRING_OR_COMMENT = re.compile(r'"(?:\\.|[^"\\])*"|/\*.*?\*/|//[^\n]*', re.S)
_LAYOUT = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
}


def lines_of_code(path: str | Path) -> int:
    """Lines of a file that hold code: blank lines, comments and docstrings do not count.

    Parameters
    ----------
    path : str or Path
        Of Python (``.py``) or C (``.c``).

    Raises
    ------
    ValueError
        The file is of another language.
    """
    path = Path(path)
    count = {".py": _python, ".c": _c}.get(path.suffix)
    if count is None:
        raise ValueError(f"cannot count the lines of {path.name}: give a .py or .c file")
    return count(path.read_text("utf-8"))


def programs() -> dict[str, int]:
    """Lines of code of the same job in C, on dispy and with dasksor, and of what is behind that."""
    behind = [*(PACKAGE / "engine").glob("*.py"), *(PACKAGE / "mailbox").glob("*.py")]
    return {
        "C program": lines_of_code(C_SOURCE),
        "dispy program": lines_of_code(DISPY_SCRIPT),
        "dasksor program": lines_of_code(PROGRAMS / "dasksor_sor.py"),
        "dasksor's engine and mailboxes": sum(map(lines_of_code, behind)),
    }


def _python(text: str) -> int:
    held: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in _LAYOUT:
            held.update(range(token.start[0], token.end[0] + 1))
    return len(held.difference(_docstrings(ast.parse(text))))


def _docstrings(tree: ast.Module) -> Iterator[int]:
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and ast.get_docstring(node, clean=False) is not None:
                yield from range(first.lineno, (first.end_lineno or first.lineno) + 1)


def _c(text: str) -> int:
    def without(found: re.Match[str]) -> str:
        return found[0] if found[0].startswith('"') else "\n" * found[0].count("\n")

    return sum(bool(line.strip()) for line in _STRING_OR_COMMENT.sub(without, text).splitlines())
