"""The fused multiply-add: one rounding, whatever the compiler would do.

Rows must be summed to the same bits in every storage, vectorised or not, so kernels spell out where
products and sums are fused instead of allowing it.
"""

from __future__ import annotations

from typing import Any

from numba import types
from numba.extending import intrinsic


def _fma(context: Any, a: Any, b: Any, c: Any) -> Any:
    """``a b + c`` in float64, rounded once."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fma(
            *(
                context.cast(builder, value, given, types.float64)
                for value, given in zip(args, signature.args, strict=True)
            )
        )

    return types.float64(a, b, c), codegen


fma: Any = intrinsic(_fma)
