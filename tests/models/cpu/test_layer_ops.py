"""Batch normalisation, ReLU and pooling in few passes: equal to PyTorch's own layers, compiled and not."""

import itertools

import pytest
import torch
import torch.nn.functional as F

from lfbt.models.cpu import layer_ops

# Channels that fill a row of the compiled loops alone, several samples together, and neither; samples even and odd.
SIZES = list(itertools.product([1, 3, 8, 64, 100], [2, 5, 16]))


@pytest.fixture(params=["compiled", "torch"])
def _implementation(request, monkeypatch):
    if request.param == "compiled":
        assert layer_ops.has_numba(), "the tests are installed with lfbt[fast]"
    else:
        monkeypatch.setattr(layer_ops, "has_numba", lambda: False)


def random(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def outputs_of(channels, samples, dtype=torch.float64):
    """``[records, samples, channels]`` far from zero, one pair of samples alike: pooling must not count it twice."""
    y = 3 + random(7, samples, channels, dtype=dtype)
    y[2, 1] = y[2, 0]
    return y


def literal(y, weight, bias, pool, eps=1e-5):
    """The same by PyTorch's layers: ``[records, samples, channels]``."""
    x = F.relu(F.batch_norm(y.transpose(1, 2), None, None, weight, bias, training=True, eps=eps))
    return (F.max_pool1d(x, 2) if pool else x).transpose(1, 2)


def affine(y, weight, bias):
    mean, variance = layer_ops.moments(y)
    scale = weight / (variance + 1e-5).sqrt()
    return scale.to(y.dtype), (bias - mean * scale).to(y.dtype)


@pytest.mark.usefixtures("_implementation")
@pytest.mark.parametrize(("channels", "samples"), SIZES)
def test_moments_are_mean_and_biased_variance(channels, samples):
    y = outputs_of(channels, samples)
    mean, variance = layer_ops.moments(y)
    assert mean.dtype == variance.dtype == torch.float64
    torch.testing.assert_close(mean, y.mean(dim=(0, 1)))
    torch.testing.assert_close(variance, y.var(dim=(0, 1), correction=0))


@pytest.mark.usefixtures("_implementation")
def test_moments_of_values_far_from_zero_keep_their_digits():
    """100 ± 0.01 in single precision, a hundred thousand values: squares of 100 would leave no digit of 0.0001."""
    y = 100 + 0.01 * random(200, 500, 8, dtype=torch.float32)
    mean, variance = layer_ops.moments(y)
    torch.testing.assert_close(mean, y.double().mean(dim=(0, 1)), rtol=1e-7, atol=0)
    torch.testing.assert_close(variance, y.double().var(dim=(0, 1), correction=0), rtol=1e-5, atol=0)


@pytest.mark.usefixtures("_implementation")
@pytest.mark.parametrize("pool", [False, True])
@pytest.mark.parametrize(("channels", "samples"), SIZES)
def test_layer_ops_equal_pytorchs_layers_forward_and_backward(channels, samples, pool):
    """With scales of both signs: a pool's maximum is then of another sample than the convolution's."""
    y = outputs_of(channels, samples).requires_grad_()
    weight, bias = random(channels, seed=1).requires_grad_(), random(channels, seed=2).requires_grad_()
    expected = literal(y, weight, bias, pool)
    gradient = random(*expected.shape, seed=3)
    expected.backward(gradient)

    with torch.no_grad():
        scale, shift = affine(y, weight, bias)
        torch.testing.assert_close(layer_ops.activate(y.detach(), scale, shift, pool), expected)
        sums, products = layer_ops.gradient_sums(y.detach(), gradient, scale, shift, pool)
        mean, variance = layer_ops.moments(y.detach())
        inverse_std = (variance + 1e-5).rsqrt()
        d_weight = (products - mean * sums) * inverse_std
        torch.testing.assert_close(sums, bias.grad)
        torch.testing.assert_close(d_weight, weight.grad)
        n = y.shape[0] * samples
        factor = -scale * inverse_std * d_weight / n
        offset = -scale * sums / n - factor * mean
        result = layer_ops.input_gradient(y.detach(), gradient.clone(), scale, shift, factor, offset, pool)
        torch.testing.assert_close(result, y.grad, rtol=1e-6, atol=1e-9)


@pytest.mark.usefixtures("_implementation")
@pytest.mark.parametrize("pool", [False, True])
def test_layer_ops_keep_single_precision(pool):
    y = outputs_of(8, 16, torch.float32)
    scale, shift = (random(8, seed=i, dtype=torch.float32) for i in (1, 2))
    x = layer_ops.activate(y, scale, shift, pool)
    assert x.dtype == torch.float32
    expected = layer_ops.activate(y.double(), scale.double(), shift.double(), pool)
    torch.testing.assert_close(x.double(), expected, rtol=1e-6, atol=1e-6)
    assert layer_ops.input_gradient(y, x, scale, shift, scale, shift, pool).dtype == torch.float32


@pytest.mark.usefixtures("_implementation")
@pytest.mark.parametrize("pool", [False, True])
def test_layer_ops_give_the_gradient_to_the_first_of_two_equal_samples(pool):
    """As PyTorch's pooling decides; without pooling each has its own."""
    y = torch.ones(1, 2, 1, dtype=torch.float64)
    one, zero = torch.ones(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    gradient = torch.ones(1, 1 if pool else 2, 1, dtype=torch.float64)
    result = layer_ops.input_gradient(y, gradient, one, zero, zero, zero, pool)
    assert result.flatten().tolist() == ([1.0, 0.0] if pool else [1.0, 1.0])


@pytest.mark.usefixtures("_implementation")
@pytest.mark.parametrize("pool", [False, True])
def test_layer_ops_pass_nan_on(pool):
    y = outputs_of(8, 16)
    y[3, 5, 2] = torch.nan
    mean, variance = layer_ops.moments(y)
    assert mean[2].isnan()
    assert variance[2].isnan()
    scale, shift = affine(y, torch.ones(8), torch.zeros(8))
    x = layer_ops.activate(y, scale, shift, pool)
    assert x[:, :, 2].isnan().all()
    assert x[:, :, [0, 1, 3, 4, 5, 6, 7]].isfinite().all()


@pytest.mark.usefixtures("_implementation")
def test_moments_of_a_convolution_of_values_far_from_zero_keep_their_digits():
    """An electrode's offset of 300 beside noise of 0.1: at its ends the convolution sees zeros, far from all else."""
    signal = 300 + 0.1 * random(20, 1, 500, dtype=torch.float32)
    y = F.conv1d(signal, random(8, 1, 3, dtype=torch.float32), padding=1).transpose(1, 2).contiguous()
    mean, variance = layer_ops.moments(y)
    torch.testing.assert_close(mean, y.double().mean(dim=(0, 1)), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(variance, y.double().var(dim=(0, 1), correction=0), rtol=1e-4, atol=0)


def test_has_numba_is_false_where_it_cannot_be_imported(monkeypatch):
    """An old Numba beside a new NumPy raises ImportError when it is imported."""

    def refuses():
        raise ImportError("Numba needs NumPy 2.2 or less")

    layer_ops.has_numba.cache_clear()
    monkeypatch.setattr(layer_ops, "_numba_ops", refuses)
    assert not layer_ops.has_numba()
    mean, _ = layer_ops.moments(torch.ones(2, 4, 8))
    assert (mean == 1).all()
    layer_ops.has_numba.cache_clear()


@pytest.mark.usefixtures("_implementation")
@pytest.mark.parametrize("pool", [False, True])
@pytest.mark.parametrize(("channels", "samples"), [(1, 5), (3, 16), (8, 2), (8, 64), (64, 15)])
def test_layer_ops_in_bfloat16_round_the_results_of_single_precision(channels, samples, pool):
    """What is stored is the bfloat16 nearest to the result from the stored numbers, sums are not rounded at all."""
    y = outputs_of(channels, samples, torch.float32).bfloat16()
    scale, shift, factor, offset = (random(channels, seed=i, dtype=torch.float32) for i in range(1, 5))
    for half, single in zip(layer_ops.moments(y), layer_ops.moments(y.double()), strict=True):
        assert half.dtype == torch.float64
        torch.testing.assert_close(half, single, rtol=1e-5, atol=1e-6)
    x, expected = (layer_ops.activate(one, scale, shift, pool) for one in (y, y.float()))
    assert x.dtype == torch.bfloat16
    torch.testing.assert_close(x.float(), expected, rtol=2**-8, atol=1e-6)
    gradient = random(*x.shape, seed=9, dtype=torch.float32).bfloat16()
    sums = layer_ops.gradient_sums(y, gradient, scale, shift, pool)
    for half, single in zip(
        sums, layer_ops.gradient_sums(y.float(), gradient.float(), scale, shift, pool), strict=True
    ):
        torch.testing.assert_close(half, single, rtol=1e-5, atol=1e-5)
    values = scale, shift, factor, offset
    expected = layer_ops.input_gradient(y.float(), gradient.float(), *values, pool)
    result = layer_ops.input_gradient(y, gradient, *values, pool)
    assert result.dtype == torch.bfloat16
    torch.testing.assert_close(result.float(), expected, rtol=2**-7, atol=1e-6)
