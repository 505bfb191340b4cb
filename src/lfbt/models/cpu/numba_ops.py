"""The functions of `lfbt.models.cpu.layer_ops` for the CPU as loops that Numba compiles, one pass over memory each.

They release the interpreter's lock and use one thread, so that several leads run in parallel.
"""

from __future__ import annotations

import functools
import math
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lfbt.models.cpu.bfloat16 import narrow, widen
from lfbt.utils.tensors import to_full_precision

# A row of so many numbers, several samples of few channels, makes what a loop costs before and after it small.
_LANES = 256
# Rows that are summed in their own precision before the sum is added in double precision.
_PART = 64


def moments(y: Tensor) -> tuple[Tensor, Tensor]:
    """See `lfbt.models.cpu.layer_ops.moments`."""
    rows, repeats = _rows(y)
    # Distances to one sample of each channel are summed, as squares of large numbers would lose digits: a sample in the
    # middle, as at the ends a convolution covers padding.
    middle = to_full_precision(y[0, y.shape[1] // 2])
    centre = middle.repeat(repeats)
    sums, squares = _zeros(rows.shape[1]), _zeros(rows.shape[1])
    _loops(rows.shape[1]).moments(rows, centre.numpy(), sums, squares)
    n = y.shape[0] * y.shape[1]
    mean, square = _fold(sums, y) / n, _fold(squares, y) / n
    return mean + middle, (square - mean.square()).clamp(min=0)


def activate(y: Tensor, scale: Tensor, shift: Tensor, pool: bool) -> Tensor:
    """See `lfbt.models.cpu.layer_ops.activate`."""
    records, samples, channels = y.shape
    out = y.new_empty(records, samples // 2 if pool else samples, channels)
    if pool:
        pairs, repeats = _pairs(y)
        loops = _pool_loops(channels * repeats, _array(y).dtype)
        loops.activate(pairs, *_repeated(repeats, scale, shift), _blocks(out, repeats))
    else:
        rows, repeats = _rows(y)
        _loops(rows.shape[1]).activate(rows, *_repeated(repeats, scale, shift), _rows(out)[0])
    return out


def gradient_sums(y: Tensor, gradient: Tensor, scale: Tensor, shift: Tensor, pool: bool) -> tuple[Tensor, Tensor]:
    """See `lfbt.models.cpu.layer_ops.gradient_sums`."""
    rows, repeats = _pairs(y) if pool else _rows(y)
    values = _repeated(repeats, scale, shift)
    sums, products = _zeros(repeats * y.shape[2]), _zeros(repeats * y.shape[2])
    if pool:
        loops = _pool_loops(y.shape[2] * repeats, _array(y).dtype)
        loops.gradient_sums(rows, _blocks(gradient, repeats), *values, sums, products)
    else:
        _loops(rows.shape[1]).gradient_sums(rows, _rows(gradient)[0], *values, sums, products)
    return _fold(sums, y), _fold(products, y)


def input_gradient(
    y: Tensor, gradient: Tensor, scale: Tensor, shift: Tensor, factor: Tensor, offset: Tensor, pool: bool
) -> Tensor:
    """See `lfbt.models.cpu.layer_ops.input_gradient`."""
    if not pool:
        rows, repeats = _rows(y)
        values = _repeated(repeats, scale, shift, factor, offset)
        _loops(rows.shape[1]).input_gradient(rows, _rows(gradient)[0], *values)
        return gradient
    out = torch.empty_like(y)
    pairs, repeats = _pairs(y)
    values = _repeated(repeats, scale, shift, factor, offset)
    loops = _pool_loops(y.shape[2] * repeats, _array(y).dtype)
    loops.input_gradient(pairs, _blocks(gradient, repeats), *values, _pairs(out)[0])
    if y.shape[1] % 2:
        out[:, -1] = torch.addcmul(offset, y[:, -1].to(factor.dtype), factor)
    return out


def _array(y: Tensor) -> NDArray[Any]:
    """`y` as an array; of bfloat16 the bits."""
    return (y.view(torch.uint16) if y.dtype == torch.bfloat16 else y).numpy()


def _rows(y: Tensor) -> tuple[NDArray[Any], int]:
    """`y` as ``[rows, lanes]``, and the number of samples in a row."""
    records, samples, channels = y.shape
    repeats = math.gcd(records * samples, max(1, _LANES // channels))
    return _array(y.view(-1, channels * repeats)), repeats


def _pairs(y: Tensor) -> tuple[NDArray[Any], int]:
    """The pairs of samples ``[records, blocks, pairs, 2, words]``, and how many a block has.

    Words of eight bytes, where a sample has whole ones, are sooner copied than their numbers.
    """
    records, samples, channels = y.shape
    n_pairs = samples // 2
    repeats = math.gcd(n_pairs, max(1, _LANES // channels))
    pairs = _array(y[:, : 2 * n_pairs].view(records, n_pairs // repeats, repeats, 2, channels))
    return (pairs.view(np.uint64) if channels * pairs.itemsize % 8 == 0 else pairs), repeats


def _blocks(x: Tensor, repeats: int) -> NDArray[Any]:
    """`x`, a sample for each pair, as ``[records, blocks, lanes]``."""
    return _array(x.view(len(x), -1, repeats * x.shape[2]))


def _repeated(repeats: int, *values: Tensor) -> list[NDArray[Any]]:
    return [np.concatenate([value.numpy()] * repeats) for value in values]


def _zeros(lanes: int) -> NDArray[np.float64]:
    return np.zeros(lanes)


def _fold(sums: NDArray[np.float64], y: Tensor) -> Tensor:
    """The sums of each channel from those of each lane."""
    return torch.from_numpy(sums).view(-1, y.shape[2]).sum(dim=0)


class _Loops(NamedTuple):
    """Compiled functions that write to their last arguments."""

    moments: Callable[..., None]
    activate: Callable[..., None]
    gradient_sums: Callable[..., None]
    input_gradient: Callable[..., None]


class _PoolLoops(NamedTuple):
    """Compiled functions that write to their last arguments, with a pool."""

    activate: Callable[..., None]
    gradient_sums: Callable[..., None]
    input_gradient: Callable[..., None]


_COMPILE_LOCK = threading.Lock()


def _loops(lanes: int) -> _Loops:
    """The loops for rows ``[rows, lanes]``, compiled once for all threads."""
    with _COMPILE_LOCK:
        return _compile_loops(lanes)


def _pool_loops(lanes: int, dtype: np.dtype[Any]) -> _PoolLoops:
    """The loops for pairs of samples, compiled once for all threads."""
    with _COMPILE_LOCK:
        return _compile_pool_loops(lanes, dtype)


@functools.cache
def _compile_loops(lanes: int) -> _Loops:
    """The loops for rows of `lanes` numbers, a constant that the compiler needs to vectorise them.

    Values are loaded before they are compared, as a load behind a condition is not vectorised. Comparisons let NaN
    through. Beside what the module defines the loops may refer to plain constants only: Numba would not find them on
    disk, in the next process, with a function among what they refer to.
    """

    @_jit
    def moments(y: Any, centre: Any, sums: Any, squares: Any) -> None:
        for start in range(0, len(y), _PART):
            part_sums, part_squares = np.zeros(lanes, centre.dtype), np.zeros(lanes, centre.dtype)
            for i in range(start, min(start + _PART, len(y))):
                for c in range(lanes):
                    distance = widen(y[i, c]) - centre[c]
                    part_sums[c] += distance
                    part_squares[c] += distance * distance
            for c in range(lanes):
                sums[c] += part_sums[c]
                squares[c] += part_squares[c]

    @_jit
    def activate(y: Any, scale: Any, shift: Any, out: Any) -> None:
        zero = scale.dtype.type(0)
        for i in range(len(y)):
            for c in range(lanes):
                u = widen(y[i, c]) * scale[c] + shift[c]
                out[i, c] = narrow(zero if u < zero else u, y[i, c])

    @_jit
    def gradient_sums(y: Any, gradient: Any, scale: Any, shift: Any, sums: Any, products: Any) -> None:
        zero = scale.dtype.type(0)
        for start in range(0, len(y), _PART):
            part_sums, part_products = np.zeros(lanes, scale.dtype), np.zeros(lanes, scale.dtype)
            for i in range(start, min(start + _PART, len(y))):
                for c in range(lanes):
                    value, g = widen(y[i, c]), widen(gradient[i, c])
                    g = g if value * scale[c] + shift[c] > zero else zero
                    part_sums[c] += g
                    part_products[c] += g * value
            for c in range(lanes):
                sums[c] += part_sums[c]
                products[c] += part_products[c]

    @_jit
    def input_gradient(y: Any, gradient: Any, scale: Any, shift: Any, factor: Any, offset: Any) -> None:
        zero = scale.dtype.type(0)
        # The compiler cannot tell that a row of the gradient may be written while it is read.
        row = np.empty(lanes, y.dtype)
        for i in range(len(y)):
            for c in range(lanes):
                value, g = widen(y[i, c]), widen(gradient[i, c]) * scale[c]
                g = g if value * scale[c] + shift[c] > zero else zero
                row[c] = narrow(g + factor[c] * value + offset[c], y[i, c])
            for c in range(lanes):
                gradient[i, c] = row[c]

    return _Loops(moments, activate, gradient_sums, input_gradient)


@functools.cache
def _compile_pool_loops(lanes: int, dtype: np.dtype[Any]) -> _PoolLoops:
    """The loops for blocks of pairs of samples ``[records, blocks, pairs, 2, words]``, `lanes` numbers in a row.

    The first samples of a block are copied to one row and the second to another, in which the compiler vectorises.
    """

    @_jit
    def activate(y: Any, scale: Any, shift: Any, out: Any) -> None:
        zero = scale.dtype.type(0)
        first_words, second_words = np.empty(y.shape[2::2], y.dtype), np.empty(y.shape[2::2], y.dtype)
        first, second = first_words.view(dtype).reshape(lanes), second_words.view(dtype).reshape(lanes)
        for record in range(len(y)):
            for block in range(y.shape[1]):
                _separate(y[record, block], first_words, second_words)
                for c in range(lanes):
                    u = widen(first[c]) * scale[c] + shift[c]
                    v = widen(second[c]) * scale[c] + shift[c]
                    greater = v if u < v else u
                    out[record, block, c] = narrow(zero if greater < zero else greater, first[c])

    @_jit
    def gradient_sums(y: Any, gradient: Any, scale: Any, shift: Any, sums: Any, products: Any) -> None:
        zero = scale.dtype.type(0)
        first_words, second_words = np.empty(y.shape[2::2], y.dtype), np.empty(y.shape[2::2], y.dtype)
        first, second = first_words.view(dtype).reshape(lanes), second_words.view(dtype).reshape(lanes)
        for record in range(len(y)):
            for start in range(0, y.shape[1], _PART):
                part_sums, part_products = np.zeros(lanes, scale.dtype), np.zeros(lanes, scale.dtype)
                for block in range(start, min(start + _PART, y.shape[1])):
                    _separate(y[record, block], first_words, second_words)
                    for c in range(lanes):
                        one, other, g = widen(first[c]), widen(second[c]), widen(gradient[record, block, c])
                        u, v = one * scale[c] + shift[c], other * scale[c] + shift[c]
                        winner = one if u >= v else other
                        g = g if (v if u < v else u) > zero else zero
                        part_sums[c] += g
                        part_products[c] += g * winner
                for c in range(lanes):
                    sums[c] += part_sums[c]
                    products[c] += part_products[c]

    @_jit
    def input_gradient(y: Any, gradient: Any, scale: Any, shift: Any, factor: Any, offset: Any, out: Any) -> None:
        zero = scale.dtype.type(0)
        first_words, second_words = np.empty(y.shape[2::2], y.dtype), np.empty(y.shape[2::2], y.dtype)
        first, second = first_words.view(dtype).reshape(lanes), second_words.view(dtype).reshape(lanes)
        for record in range(len(y)):
            for block in range(y.shape[1]):
                _separate(y[record, block], first_words, second_words)
                for c in range(lanes):
                    one, other, g = widen(first[c]), widen(second[c]), widen(gradient[record, block, c]) * scale[c]
                    u, v = one * scale[c] + shift[c], other * scale[c] + shift[c]
                    g = g if (v if u < v else u) > zero else zero
                    of_first = g if u >= v else zero
                    first[c] = narrow(of_first + factor[c] * one + offset[c], first[c])
                    second[c] = narrow(g - of_first + factor[c] * other + offset[c], second[c])
                for i in range(y.shape[2]):
                    for k in range(y.shape[4]):
                        out[record, block, i, 0, k] = first_words[i, k]
                        out[record, block, i, 1, k] = second_words[i, k]

    return _PoolLoops(activate, gradient_sums, input_gradient)


def _jit(loop: Callable[..., None]) -> Callable[..., None]:
    """Compile `loop` at its first call, and cache it on disk where a folder for that can be written to."""
    compiled: Callable[..., None]
    # Two environments over one checkout would write the same files, each over those of the other version.
    loop.__qualname__ += f"-numba-{numba.__version__}"
    try:
        compiled = numba.njit(nogil=True, fastmath={"contract"}, cache=True)(loop)
    except RuntimeError:  # no folder may be written to
        compiled = numba.njit(nogil=True, fastmath={"contract"})(loop)
    return compiled


def _inline(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile `function` into those that call it."""
    inlined: Callable[..., Any] = numba.njit(inline="always")(function)
    return inlined


@_inline
def _separate(block: Any, first: Any, second: Any) -> None:
    """Copy the first samples of each pair of a block ``[pairs, 2, words]`` to one row and the second to another."""
    for i in range(first.shape[0]):
        for k in range(block.shape[2]):
            first[i, k] = block[i, 0, k]
            second[i, k] = block[i, 1, k]
