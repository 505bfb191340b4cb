"""bfloat16 in loops that Numba compiles, which has no such type: the bits are uint16, the arithmetic is float32."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import types
from numba.extending import intrinsic

# A bfloat16 has the upper half of the bits of a float32.
_SHIFT = 16


def _widen(_context: Any, value: Any) -> Any:
    """The float32 of the bits of a bfloat16, exact; any other number as it is."""

    def keep(_context: Any, _builder: Any, _signature: Any, arguments: Any) -> Any:
        return arguments[0]

    if value != types.uint16:
        return value(value), keep

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        word = context.get_value_type(types.uint32)
        bits = builder.shl(builder.zext(arguments[0], word), context.get_constant(types.uint32, _SHIFT))
        return builder.bitcast(bits, context.get_value_type(types.float32))

    return types.float32(types.uint16), generate


def _narrow(_context: Any, value: Any, like: Any) -> Any:
    """The bits of the nearest bfloat16 where `like` is such bits, else `value` as it is.

    Of two equally near ones it is the even, as PyTorch rounds; NaN stays NaN.
    """

    def keep(_context: Any, _builder: Any, _signature: Any, arguments: Any) -> Any:
        return arguments[0]

    if like != types.uint16:
        return value(value, like), keep

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        def constant(value: int) -> Any:
            return context.get_constant(types.uint32, value)

        bits = builder.bitcast(arguments[0], context.get_value_type(types.uint32))
        odd = builder.and_(builder.lshr(bits, constant(_SHIFT)), constant(1))
        rounded = builder.lshr(builder.add(bits, builder.add(odd, constant(0x7FFF))), constant(_SHIFT))
        # The carry of rounding could make another number of a NaN.
        is_nan = builder.fcmp_unordered("uno", arguments[0], arguments[0])
        rounded = builder.select(is_nan, constant(0x7FC0), rounded)
        return builder.trunc(rounded, context.get_value_type(types.uint16))

    return types.uint16(types.float32, like), generate


#: ``widen(value)`` and ``narrow(value, like)``, for loops that Numba compiles.
widen: Callable[..., Any] = intrinsic(_widen)
narrow: Callable[..., Any] = intrinsic(_narrow)
