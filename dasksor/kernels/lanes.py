"""Eight numbers at a time: vectors whose arithmetic has an order of its own, bit for bit.

A compiler that may reorder a sum does so as suits the loop around it. Here lane ``k`` is added to
lane ``k`` and to nothing else, whatever the loop looks like and however wide the registers are.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils, errors
from numba.extending import intrinsic, models, register_model

LANES = 8
_VECTOR = ir.VectorType(ir.DoubleType(), LANES)
_INDICES = ir.VectorType(ir.IntType(32), LANES)


class Lanes(types.Type):
    """Eight float64."""


lanes = Lanes("lanes")


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, _VECTOR)


def _address(context, builder, array_type, array, index):
    """Of the entry ``index`` of a contiguous array, as a pointer to eight of its entries."""
    view = context.make_array(array_type)(context, builder, array)
    entry = builder.gep(view.data, [index])
    kind = context.get_data_type(array_type.dtype)
    return builder.bitcast(entry, ir.VectorType(kind, LANES).as_pointer()), kind


@intrinsic
def load(typing, array, index):
    """``array[index : index + 8]`` of a contiguous vector, as float64."""
    if array.layout != "C" or array.ndim != 1:
        raise errors.TypingError("eight numbers at a time need a contiguous vector")

    def build(context, builder, signature, args):
        address, kind = _address(context, builder, array, *args)
        vector = builder.load(address)
        # Rows begin where they begin: no more than the alignment of one number is known.
        vector.align = 4 if kind == ir.FloatType() else 8
        return builder.fpext(vector, _VECTOR) if kind == ir.FloatType() else vector

    return lanes(array, types.intp), build


@intrinsic
def store(typing, array, index, vector):
    """``array[index : index + 8] = vector``, of float64."""

    def build(context, builder, signature, args):
        address, _ = _address(context, builder, array, *args[:2])
        builder.store(args[2], address).align = 8
        return context.get_dummy_value()

    return types.void(array, types.intp, lanes), build


@intrinsic
def zeros(typing):
    return lanes(), lambda context, builder, signature, args: ir.Constant(_VECTOR, [0.0] * LANES)


@intrinsic
def spread(typing, number):
    """Eight times the same number."""

    def build(context, builder, signature, args):
        one = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), args[0], ir.IntType(32)(0))
        mask = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
        return builder.shuffle_vector(one, one, mask)

    return lanes(types.float64), build


@intrinsic
def add(typing, a, b):
    return lanes(lanes, lanes), lambda context, builder, signature, args: builder.fadd(*args)


@intrinsic
def add_product(typing, total, a, b):
    """``total + a * b``, rounded once where the processor can."""

    def build(context, builder, signature, args):
        kind = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.fmuladd.v8f64")
        return builder.call(function, [args[1], args[2], args[0]])

    return lanes(lanes, lanes, lanes), build


@intrinsic
def totals(typing, v0, v1, v2, v3, v4, v5, v6, v7):
    """The sum of the lanes of each of eight vectors, half to half, as one vector."""

    def build(context, builder, signature, args):
        vectors = list(args)
        for width in (4, 2, 1):
            # Of each piece of 2 * width lanes, the lower and the upper half, in all of a pair.
            low = [k for k in range(2 * LANES) if k // width % 2 == 0]
            masks = [ir.Constant(_INDICES, [k + shift for k in low]) for shift in (0, width)]
            pairs = zip(vectors[::2], vectors[1::2], strict=True)
            vectors = [
                builder.fadd(*(builder.shuffle_vector(a, b, mask) for mask in masks))
                for a, b in pairs
            ]
        return vectors[0]

    return lanes(*[lanes] * LANES), build


@intrinsic
def prefetch(typing, array, index):
    """Ask for the line of ``array[index]``, which may lie outside."""

    def build(context, builder, signature, args):
        address, _ = _address(context, builder, array, *args)
        i32 = ir.IntType(32)
        p8 = ir.IntType(8).as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [p8, i32, i32, i32])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
        builder.call(function, [builder.bitcast(address, p8), i32(0), i32(3), i32(1)])
        return context.get_dummy_value()

    return types.void(array, types.intp), build
