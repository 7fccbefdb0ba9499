"""Words of 8 bytes that threads share: loads and stores that stay as written, and locked adds."""

from __future__ import annotations

import platform

import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils, errors
from numba.extending import intrinsic


def _place(context, builder, array_type, array, index):
    view = context.make_array(array_type)(context, builder, array)
    return builder.gep(view.data, [index])


def _check(array):
    if array.layout != "C" or array.ndim != 1 or array.dtype != types.int64:
        raise errors.TypingError("shared words are contiguous vectors of int64")


@intrinsic
def load(typing, words, index):
    """``words[index]`` as it is in memory now."""
    _check(words)

    def build(context, builder, signature, args):
        return builder.load_atomic(_place(context, builder, words, *args), "acquire", 8)

    return types.int64(words, types.intp), build


@intrinsic
def store(typing, words, index, value):
    """``words[index] = value``, in memory, after all that was stored before."""
    _check(words)

    def build(context, builder, signature, args):
        place = _place(context, builder, words, *args[:2])
        builder.store_atomic(args[2], place, "release", 8)
        return context.get_dummy_value()

    return types.void(words, types.intp, types.int64), build


@intrinsic
def add(typing, words, index, value):
    """``words[index] += value`` in one step that no other thread can divide; the value before."""
    _check(words)

    def build(context, builder, signature, args):
        place = _place(context, builder, words, *args[:2])
        return builder.atomic_rmw("add", place, args[2], "seq_cst")

    return types.int64(words, types.intp, types.int64), build


@intrinsic
def rest(typing):
    """Tell the core that this is a loop of waiting; nothing elsewhere than on x86."""

    def build(context, builder, signature, args):
        if platform.machine() in ("x86_64", "AMD64"):
            kind = ir.FunctionType(ir.VoidType(), [])
            pause = cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.sse2.pause")
            builder.call(pause, [])
        return context.get_dummy_value()

    return types.void(), build


@numba.njit(nogil=True, cache=True)
def spin_barrier(gate, parties, times):
    """Meet at a sense-reversing barrier: word 0 counts who came, word 8 is the sense."""
    for _ in range(times):
        sense = load(gate, 8)
        if add(gate, 0, 1) == parties - 1:
            store(gate, 0, 0)
            store(gate, 8, 1 - sense)
        else:
            while load(gate, 8) == sense:
                rest()


# Each of ``parties`` threads, when all have come to the ``gate``. They meet there again in the end:
# who is done first keeps its core, so that none can do its work later, alone and undisturbed.


@numba.njit(nogil=True, cache=True)
def count(gate, parties, words, index, times):
    """Increments of a counter that this thread alone changes."""
    spin_barrier(gate, parties, 1)
    for _ in range(times):
        store(words, index, load(words, index) + 1)
    spin_barrier(gate, parties, 1)


@numba.njit(nogil=True, cache=True)
def count_locked(gate, parties, words, index, times):
    """Increments of a counter that others may change as well."""
    spin_barrier(gate, parties, 1)
    for _ in range(times):
        add(words, index, 1)
    spin_barrier(gate, parties, 1)


@numba.njit(nogil=True, cache=True)
def spin_lock(gate, parties, words, times):
    """Take and give back a ticket lock: word 0 has the next ticket, word 8 the one served."""
    spin_barrier(gate, parties, 1)
    for _ in range(times):
        mine = add(words, 0, 1)
        while load(words, 8) != mine:
            rest()
        store(words, 8, mine + 1)
    spin_barrier(gate, parties, 1)
