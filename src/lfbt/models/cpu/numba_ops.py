"""The functions of `lfbt.models.cpu.layer_ops` for the CPU as loops that Numba compiles, one pass over memory each.

They release the interpreter's lock and use one thread, so that several leads run in parallel.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# A row of this many numbers fills vector registers: with fewer channels, a row has several samples.
_LANES = 64
# Rows that are summed in their own precision before the sum is added in double precision.
_PART = 256


def moments(y: Tensor) -> tuple[Tensor, Tensor]:
    """See `lfbt.models.cpu.layer_ops.moments`."""
    rows, repeats = _rows(y)
    # Distances to one sample of each channel are summed, as squares of large numbers would lose digits: a sample in the
    # middle, as at the ends a convolution covers padding.
    middle = y[0, y.shape[1] // 2]
    centre = middle.repeat(repeats)
    sums, squares = _zeros(rows), _zeros(rows)
    _loops(rows.shape[1], False).moments(rows, centre.numpy(), sums, squares)
    n = y.shape[0] * y.shape[1]
    mean, square = _fold(sums, y) / n, _fold(squares, y) / n
    return mean + middle, (square - mean.square()).clamp(min=0)


def activate(y: Tensor, scale: Tensor, shift: Tensor, pool: bool) -> Tensor:
    """See `lfbt.models.cpu.layer_ops.activate`."""
    records, samples, channels = y.shape
    out = y.new_empty(records, samples // 2 if pool else samples, channels)
    if pool:
        _loops(channels, True).activate(y.numpy(), scale.numpy(), shift.numpy(), out.numpy())
    else:
        rows, repeats = _rows(y)
        _loops(rows.shape[1], False).activate(rows, *_repeated(repeats, scale, shift), _rows(out)[0])
    return out


def gradient_sums(y: Tensor, gradient: Tensor, scale: Tensor, shift: Tensor, pool: bool) -> tuple[Tensor, Tensor]:
    """See `lfbt.models.cpu.layer_ops.gradient_sums`."""
    rows, repeats = (y.numpy(), 1) if pool else _rows(y)
    of_rows = gradient.numpy() if pool else _rows(gradient)[0]
    sums, products = _zeros(rows), _zeros(rows)
    loops = _loops(rows.shape[-1], pool)
    loops.gradient_sums(rows, of_rows, *_repeated(repeats, scale, shift), sums, products)
    return _fold(sums, y), _fold(products, y)


def input_gradient(
    y: Tensor, gradient: Tensor, scale: Tensor, shift: Tensor, factor: Tensor, offset: Tensor, pool: bool
) -> Tensor:
    """See `lfbt.models.cpu.layer_ops.input_gradient`."""
    out = torch.empty_like(y) if pool else gradient
    rows, repeats = (y.numpy(), 1) if pool else _rows(y)
    of_rows, out_rows = (gradient.numpy(), out.numpy()) if pool else (_rows(gradient)[0], _rows(out)[0])
    values = _repeated(repeats, scale, shift, factor, offset)
    _loops(rows.shape[-1], pool).input_gradient(rows, of_rows, *values, out_rows)
    return out


def _rows(y: Tensor) -> tuple[NDArray[Any], int]:
    """`y` as ``[rows, lanes]``, and the number of samples in a row."""
    records, samples, channels = y.shape
    repeats = max(1, _LANES // channels)
    if records * samples % repeats:
        repeats = 1
    return y.view(-1, channels * repeats).numpy(), repeats


def _repeated(repeats: int, *values: Tensor) -> list[NDArray[Any]]:
    return [value.repeat(repeats).numpy() for value in values]


def _zeros(rows: NDArray[Any]) -> NDArray[np.float64]:
    return np.zeros(rows.shape[-1])


def _fold(sums: NDArray[np.float64], y: Tensor) -> Tensor:
    """The sums of each channel from those of each lane."""
    return torch.from_numpy(sums).view(-1, y.shape[2]).sum(dim=0)


class _Loops(NamedTuple):
    """Compiled functions that write to their last arguments."""

    moments: Callable[..., None]
    activate: Callable[..., None]
    gradient_sums: Callable[..., None]
    input_gradient: Callable[..., None]


_COMPILE_LOCK = threading.Lock()


def _loops(lanes: int, pool: bool) -> _Loops:
    """The loops for rows of `lanes` numbers, compiled once for all threads."""
    with _COMPILE_LOCK:
        return _compile_loops(lanes, pool)


@functools.cache
def _compile_loops(lanes: int, pool: bool) -> _Loops:
    """The loops for rows of `lanes` numbers, a constant that the compiler needs to vectorise them.

    Without pooling y is ``[rows, lanes]``, with it ``[records, samples, lanes]``. Values are loaded before they are
    compared, as a load behind a condition is not vectorised. Comparisons let NaN through.
    """

    @_jit
    def moments(y: Any, centre: Any, sums: Any, squares: Any) -> None:
        for start in range(0, len(y), _PART):
            part_sums, part_squares = np.zeros(lanes, y.dtype), np.zeros(lanes, y.dtype)
            for i in range(start, min(start + _PART, len(y))):
                for c in range(lanes):
                    distance = y[i, c] - centre[c]
                    part_sums[c] += distance
                    part_squares[c] += distance * distance
            for c in range(lanes):
                sums[c] += part_sums[c]
                squares[c] += part_squares[c]

    @_jit
    def activate(y: Any, scale: Any, shift: Any, out: Any) -> None:
        zero = y.dtype.type(0)
        for i in range(len(y)):
            for c in range(lanes):
                u = y[i, c] * scale[c] + shift[c]
                out[i, c] = zero if u < zero else u

    @_jit
    def activate_pool(y: Any, scale: Any, shift: Any, out: Any) -> None:
        zero = y.dtype.type(0)
        for record in range(len(y)):
            for i in range(y.shape[1] // 2):
                for c in range(lanes):
                    u = y[record, 2 * i, c] * scale[c] + shift[c]
                    v = y[record, 2 * i + 1, c] * scale[c] + shift[c]
                    greater = v if u < v else u
                    out[record, i, c] = zero if greater < zero else greater

    @_jit
    def gradient_sums(y: Any, gradient: Any, scale: Any, shift: Any, sums: Any, products: Any) -> None:
        zero = y.dtype.type(0)
        for start in range(0, len(y), _PART):
            part_sums, part_products = np.zeros(lanes, y.dtype), np.zeros(lanes, y.dtype)
            for i in range(start, min(start + _PART, len(y))):
                for c in range(lanes):
                    value, g = y[i, c], gradient[i, c]
                    g = g if value * scale[c] + shift[c] > zero else zero
                    part_sums[c] += g
                    part_products[c] += g * value
            for c in range(lanes):
                sums[c] += part_sums[c]
                products[c] += part_products[c]

    @_jit
    def gradient_sums_pool(y: Any, gradient: Any, scale: Any, shift: Any, sums: Any, products: Any) -> None:
        zero = y.dtype.type(0)
        for record in range(len(y)):
            for start in range(0, y.shape[1] // 2, _PART):
                part_sums, part_products = np.zeros(lanes, y.dtype), np.zeros(lanes, y.dtype)
                for i in range(start, min(start + _PART, y.shape[1] // 2)):
                    for c in range(lanes):
                        first, second, g = y[record, 2 * i, c], y[record, 2 * i + 1, c], gradient[record, i, c]
                        u, v = first * scale[c] + shift[c], second * scale[c] + shift[c]
                        winner = first if u >= v else second
                        g = g if (v if u < v else u) > zero else zero
                        part_sums[c] += g
                        part_products[c] += g * winner
                for c in range(lanes):
                    sums[c] += part_sums[c]
                    products[c] += part_products[c]

    @_jit
    def input_gradient(y: Any, gradient: Any, scale: Any, shift: Any, factor: Any, offset: Any, out: Any) -> None:
        zero = y.dtype.type(0)
        for i in range(len(y)):
            for c in range(lanes):
                value, g = y[i, c], gradient[i, c] * scale[c]
                g = g if value * scale[c] + shift[c] > zero else zero
                out[i, c] = g + factor[c] * value + offset[c]

    @_jit
    def input_gradient_pool(y: Any, gradient: Any, scale: Any, shift: Any, factor: Any, offset: Any, out: Any) -> None:
        zero = y.dtype.type(0)
        for record in range(len(y)):
            for i in range(y.shape[1] // 2):
                for c in range(lanes):
                    first, second, g = y[record, 2 * i, c], y[record, 2 * i + 1, c], gradient[record, i, c] * scale[c]
                    u, v = first * scale[c] + shift[c], second * scale[c] + shift[c]
                    g = g if (v if u < v else u) > zero else zero
                    of_first = g if u >= v else zero
                    out[record, 2 * i, c] = of_first + factor[c] * first + offset[c]
                    out[record, 2 * i + 1, c] = g - of_first + factor[c] * second + offset[c]
            for i in range(y.shape[1] // 2 * 2, y.shape[1]):
                for c in range(lanes):
                    out[record, i, c] = factor[c] * y[record, i, c] + offset[c]

    if pool:
        return _Loops(moments, activate_pool, gradient_sums_pool, input_gradient_pool)
    return _Loops(moments, activate, gradient_sums, input_gradient)


def _jit(loop: Callable[..., None]) -> Callable[..., None]:
    """Compile `loop` at its first call, and cache it on disk where a folder for that can be written to."""
    compiled: Callable[..., None]
    try:
        compiled = numba.njit(nogil=True, fastmath={"contract"}, cache=True)(loop)
    except RuntimeError:  # no folder may be written to
        compiled = numba.njit(nogil=True, fastmath={"contract"})(loop)
    return compiled
