"""Several passes over the rows in one pass over the matrix, none of them changed by it."""

from __future__ import annotations

import numba


@numba.njit(nogil=True)
def several(relax, units, group, direction, changes, arguments):
    """Relax all units in each of ``changes.size`` passes; add sum(change^2) of each to ``changes``.

    Each pass is one group behind the pass before it, and no row reads farther than a group: so it
    finds that pass's values ahead, its own behind, and the matrix still in the cache.
    """
    groups = -(-units // group)
    for step in range(groups + changes.size - 1):
        for s in range(changes.size):
            p = step - s if direction > 0 else groups - 1 - step + s
            if 0 <= p < groups:
                changes[s] += relax(p * group, min(units, (p + 1) * group), *arguments)
