"""The substitutions of `dasksor.kernels.triangles` for symmetric matrices of a few diagonals.

``bands[d, i - first]`` is ``l_{i, i - offsets[d]}``, zero where there is none, with one more column
of zeros; offsets descend, and the last one is 1. In a chunk shorter than the other offsets all
diagonals but the nearest are one vectorised pass each; the nearest is a recurrence of one
multiplication and addition per row.
"""

from __future__ import annotations

import numba
import numpy as np

from dasksor.kernels.triangles import FAST, gather, scatter

MOST = 16


@numba.njit(nogil=True, cache=True)
def offsets_below(indptr, indices, first, last):
    """Distinct distances below the diagonal in the block, in no order; more than MOST: too many."""
    found = np.empty(MOST + 1, np.int64)
    count = 0
    for i in range(first, last):
        for k in range(indptr[i], indptr[i + 1]):
            offset = i - indices[k]
            if offset <= 0 or indices[k] < first:
                continue
            known = False
            for d in range(count):
                known = known or found[d] == offset
            if not known:
                found[count] = offset
                count += 1
                if count > MOST:
                    return found
    return found[:count]


@numba.njit(nogil=True, cache=True)
def fill(indptr, indices, data, scale, offsets, first, last, bands):
    """Write ``scale_i a_ij scale_j`` below the diagonal into ``bands``."""
    for i in range(first, last):
        d = 0
        for k in range(indptr[i], indptr[i + 1]):
            j = indices[k]
            if j >= i:
                break
            if j >= first:
                while offsets[d] != i - j:
                    d += 1
                bands[d, i - first] = scale[i] * data[k] * scale[j]


@numba.njit(nogil=True, cache=True, fastmath=FAST)
def backward(bands, offsets, chunk, first, last, r, beta, p, t, image, sums):
    """``p <- r + beta p``, ``(I + L') t = p``, last row first, and ``sums <- sums + W't``."""
    near, at = offsets.size - 1, image[0].size
    buffer, after = np.empty(chunk), 0.0
    end = last
    while end > first:
        begin = max(first, end - chunk)
        g, rc, pc, tc = buffer[: end - begin], r[begin:end], p[begin:end], t[begin:end]
        for i in range(g.size):
            value = rc[i] + beta * pc[i]
            pc[i] = value
            g[i] = value
        for d in range(near):
            ahead = offsets[d]
            stop = min(end, last - ahead)
            if stop > begin:
                band = bands[d, begin + ahead - first : stop + ahead - first]
                source = t[begin + ahead : stop + ahead]
                for i in range(band.size):
                    g[i] -= band[i] * source[i]
        band = bands[near, begin + 1 - first : end + 1 - first]
        for k in range(g.size):
            i = g.size - 1 - k
            after = g[i] - band[i] * after
            tc[i] = after
        at = gather(image, at, begin, t, sums)
        end = begin


@numba.njit(nogil=True, cache=True, fastmath=FAST)
def forward(bands, offsets, chunk, first, last, p, tau, t, couplings, image, c, y):
    """``(I + L) y = p - tau t + R t - W c``; returns ``p'(t + y)``."""
    near, at, far, total = offsets.size - 1, 0, 0, 0.0
    buffer, before = np.empty(chunk), 0.0
    for begin in range(first, last, chunk):
        end = min(last, begin + chunk)
        rest, pc, tc, yc = buffer[: end - begin], p[begin:end], t[begin:end], y[begin:end]
        for i in range(rest.size):
            rest[i] = pc[i] - tau * tc[i]
        at = scatter(image, at, begin, end, -1.0, c, rest)
        far = scatter(couplings, far, begin, end, 1.0, t, rest)
        for d in range(near):
            back = offsets[d]
            start = max(begin, first + back)
            if start < end:
                band = bands[d, start - first : end - first]
                source, target = y[start - back : end - back], rest[start - begin :]
                for i in range(band.size):
                    target[i] -= band[i] * source[i]
        band = bands[near, begin - first : end - first]
        for i in range(rest.size):
            before = rest[i] - band[i] * before
            yc[i] = before
        for i in range(rest.size):
            total += pc[i] * (tc[i] + yc[i])
    return total


@numba.njit(nogil=True, cache=True, fastmath=FAST)
def weighted_norm(bands, offsets, first, last, weight, v):
    """``sum_i (weight_i ((I + L) v)_i)^2``."""
    total, chunk = 0.0, 4096
    buffer = np.empty(chunk)
    for begin in range(first, last, chunk):
        end = min(last, begin + chunk)
        entry, w = buffer[: end - begin], weight[begin:end]
        entry[:] = v[begin:end]
        for d in range(offsets.size):
            start = max(begin, first + offsets[d])
            if start < end:
                band = bands[d, start - first : end - first]
                source, target = v[start - offsets[d] : end - offsets[d]], entry[start - begin :]
                for i in range(band.size):
                    target[i] += band[i] * source[i]
        for i in range(entry.size):
            scaled = w[i] * entry[i]
            total += scaled * scaled
    return total
