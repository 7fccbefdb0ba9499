"""Linear programs from files, by the readers of HiGHS."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csc_array, csr_array, vstack


def read_lp(path: str | PathLike[str]) -> dict[str, Any]:
    """The arguments of `linprog` for the program in a file: MPS or LP format, also gzipped.

    Rows with two sides become two rows. Needs ``highspy``, which ``pip install 'dasksor[lp]'``
    brings.

    Parameters
    ----------
    path : str or path
        The file.

    Returns
    -------
    dict
        ``c``, ``A_ub``, ``b_ub``, ``A_eq``, ``b_eq``, ``bounds``.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    RuntimeError
        highspy is not installed.
    ValueError
        The file is broken, maximises, or has integer unknowns or a constant in its objective.
    """
    try:
        import highspy
    except ImportError as error:
        raise RuntimeError(
            "reading linear programs needs highspy: pip install 'dasksor[lp]'"
        ) from error
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {path}")
    with _greeting_aside():
        reader = highspy.Highs()
    reader.setOptionValue("output_flag", False)
    if reader.readModel(str(path)) == highspy.HighsStatus.kError:
        raise ValueError(f"{path}: not a linear program in MPS or LP format")
    model = reader.getLp()
    _check(path, highspy, model)
    parts = model.a_matrix_
    A = csr_array(
        csc_array(
            (np.array(parts.value_), np.array(parts.index_), np.array(parts.start_)),
            shape=(model.num_row_, model.num_col_),
        )
    )
    low, high = np.array(model.row_lower_), np.array(model.row_upper_)
    equal = low == high
    above, below = np.isfinite(high) & ~equal, np.isfinite(low) & ~equal
    return {
        "c": np.array(model.col_cost_),
        "A_ub": csr_array(vstack([A[above], -A[below]])),
        "b_ub": np.concatenate([high[above], -low[below]]),
        "A_eq": A[equal],
        "b_eq": low[equal],
        "bounds": np.stack([model.col_lower_, model.col_upper_], axis=1),
    }


@contextlib.contextmanager
def _greeting_aside() -> Iterator[None]:
    """HiGHS greets on the standard output of C as it is made, where JSON may have to stand."""
    if os.name != "posix":
        yield
        return
    flush = ctypes.CDLL(None).fflush
    flush(None)
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        flush(None)
        os.dup2(kept, 1)
        os.close(kept)


def _check(path: Path, highspy: Any, model: Any) -> None:
    if model.num_col_ == 0:
        raise ValueError(f"{path}: no unknowns")
    if model.sense_ != highspy.ObjSense.kMinimize:
        raise ValueError(f"{path}: maximises: change the signs of its costs")
    if any(kind != highspy.HighsVarType.kContinuous for kind in model.integrality_):
        raise ValueError(f"{path}: integer unknowns: linprog has none")
    if model.offset_:
        raise ValueError(f"{path}: a constant in the objective: take {model.offset_} out of it")
