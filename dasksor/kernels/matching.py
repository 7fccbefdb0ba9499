"""Aggregates by pairwise matching, and the matrices between them."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(nogil=True, cache=True)
def pairs(indptr, indices, data, first, last):
    """Pair strongly coupled ones of rows ``first, ..., last - 1``: the pair of each, their number.

    Each row in turn takes its strongest coupling ``-a_ij`` among the rows that are still alone;
    where none is left it joins the pair of its strongest coupling.
    """
    pair = np.full(last - first, -1, np.int32)
    count = 0
    for i in range(pair.size):
        if pair[i] >= 0:
            continue
        alone = paired = -1
        strongest_alone = strongest_paired = 0.0
        for k in range(indptr[first + i], indptr[first + i + 1]):
            j, strength = indices[k] - first, -data[k]
            if j == i or j < 0 or j >= pair.size:
                continue
            if pair[j] < 0 and strength > strongest_alone:
                strongest_alone, alone = strength, j
            elif pair[j] >= 0 and strength > strongest_paired:
                strongest_paired, paired = strength, j
        if alone < 0 and paired >= 0:
            pair[i] = pair[paired]
            continue
        pair[i] = count
        if alone >= 0:
            pair[alone] = count
        count += 1
    return pair, count


@numba.njit(nogil=True, cache=True)
def members_of(group, count):
    """The rows of each group, one group after the other, and where each begins.

    Rows of group -1 are in none.
    """
    begin = np.zeros(count + 1, np.int64)
    for g in group:
        if g >= 0:
            begin[g + 1] += 1
    for g in range(count):
        begin[g + 1] += begin[g]
    members, at = np.empty(group.size, np.int32), begin[:-1].copy()
    for i in range(group.size):
        if group[i] >= 0:
            members[at[group[i]]] = i
            at[group[i]] += 1
    return begin, members[: begin[count]]


@numba.njit(nogil=True, cache=True)
def contracted(indptr, indices, data, group, count, first, last):
    """``Z'AZ`` with ``Z`` the indicators of ``count`` groups of rows ``first, ..., last - 1``.

    Entries in other columns are left out, as are rows and columns of group -1. Columns of a row
    are in no order.
    """
    begin, members = members_of(group, count)
    ptr = np.zeros(count + 1, np.int64)
    most = indptr[last] - indptr[first]
    idx, val = np.empty(most, np.int32), np.empty(most)
    place = np.full(count, -1, np.int64)
    at = 0
    for g in range(count):
        start = at
        for m in range(begin[g], begin[g + 1]):
            i = first + members[m]
            for k in range(indptr[i], indptr[i + 1]):
                j = indices[k]
                if j < first or j >= last:
                    continue
                h = group[j - first]
                if h < 0:
                    continue
                if place[h] < start:
                    place[h] = at
                    idx[at], val[at] = h, data[k]
                    at += 1
                else:
                    val[place[h]] += data[k]
        ptr[g + 1] = at
    return ptr, idx[:at].copy(), val[:at].copy()


@numba.njit(nogil=True, cache=True)
def columns_summed(indptr, indices, data, group, weight, scale, count, first, last):
    """Rows ``first, ..., last - 1`` of ``A Z``, each times its ``scale_i``.

    ``Z`` has ``weight_j`` in column ``group_j < count`` of row ``j``. What is left of terms that
    cancel counts as zero. Rows that are not empty are listed: see `kernels.triangles.gather`.
    """
    room = last - first
    rows, ptr = np.empty(room, np.uint32), np.zeros(room + 1, np.uint32)
    columns, values = np.empty(room, np.uint32), np.empty(room)
    place, seen = np.zeros(count, np.int64), np.full(count, -1, np.int32)
    at = row = 0
    for i in range(first, last):
        start = at
        while at + indptr[i + 1] - indptr[i] > room:
            columns, values, room = np.append(columns, columns), np.append(values, values), 2 * room
        size = 0.0
        for k in range(indptr[i], indptr[i + 1]):
            g, term = group[indices[k]], data[k] * weight[indices[k]]
            size += abs(term)
            if seen[g] != i:
                seen[g], place[g] = i, at
                columns[at], values[at] = g, 0.0
                at += 1
            values[place[g]] += term
        kept = start
        for k in range(start, at):
            if abs(values[k]) > 1e-14 * size:
                columns[kept], values[kept] = columns[k], scale[i] * values[k]
                kept += 1
        at = kept
        if at > start:
            rows[row], ptr[row + 1] = i, at
            row += 1
    return rows[:row].copy(), ptr[: row + 1].copy(), columns[:at].copy(), values[:at].copy()
