"""Lines of code."""

import pytest

from dasksor.study import loc

PYTHON = '''"""Of the
module."""

# a comment
import os  # counts


class A:
    """Of the class."""

    def f(self):
        """Of the
        function."""
        text = """two
lines, no docstring"""
        return (
            text  # a comment in code

        )
'''
C = """/* A comment
 * of two lines */
#include <stdio.h>  // counts

int main(void)
{
    /* alone */
    puts("/* no comment */ // nor this");
    return 0; /* counts */
}
"""


def test_python(tmp_path):
    (tmp_path / "a.py").write_text(PYTHON)
    # import, class, def, text of two lines, return, its argument, its bracket
    assert loc.lines_of_code(tmp_path / "a.py") == 8


def test_c(tmp_path):
    (tmp_path / "a.c").write_text(C)
    assert loc.lines_of_code(tmp_path / "a.c") == 6


def test_empty(tmp_path):
    for name in ("a.py", "a.c"):
        (tmp_path / name).write_text("\n\n")
        assert loc.lines_of_code(tmp_path / name) == 0


def test_other_languages_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"give a \.py or \.c"):
        loc.lines_of_code(tmp_path / "a.f90")


def test_the_programs():
    counted = loc.programs()
    assert 0 < counted["dasksor program"] < counted["dispy program"] < counted["C program"]
