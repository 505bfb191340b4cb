"""Collectives: loss, statistics and gradients in several processes are those of one that has all records."""

import functools
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from tests.processes import in_processes

from lfbt.losses.lfbt import lfbt_loss
from lfbt.models.encoder import EncoderConfig, LeadEncoders
from lfbt.models.projector import Projectors
from lfbt.utils.collectives import (
    all_gather_rows,
    all_reduce_sum,
    broadcast_buffers,
    moment_sums,
    moments_of,
    shard_sizes,
    sync_batch_norm,
)
from lfbt.utils.tensors import seeded

#: Seven records: two processes have four and three, three have three, two and two.
N_RECORDS = 7


@given(st.integers(0, 50), st.integers(1, 9))
def test_shard_sizes_differ_by_one_record_at_most(n_records, n_processes):
    sizes = shard_sizes(n_records, n_processes)
    parts = np.array_split(np.arange(n_records), n_processes)
    assert sizes == [len(part) for part in parts]


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.floats(-1e3, 1e3), st.integers(0, 5))
def test_moment_sums_add_up_to_the_moments_of_all(sizes, offset, seed):
    values = [
        torch.randn(n, 3, generator=torch.Generator().manual_seed(seed + i), dtype=torch.float64) + offset * i
        for i, n in enumerate(sizes)
    ]
    parts = [moment_sums(len(part), part.mean(0), part.var(0, correction=0)) for part in values]
    sums = torch.stack(parts).sum(0)
    n, mean, variance = moments_of(sums)
    together = torch.cat(values)
    assert n == len(together)
    torch.testing.assert_close(mean, together.mean(0))
    torch.testing.assert_close(variance, together.var(0, correction=0), rtol=1e-6, atol=1e-6)


def standard(n_dims=6, n_leads=3, n_records=N_RECORDS):
    z = torch.randn(2, n_records, n_leads, n_dims, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    return (z - z.mean(1, keepdim=True)) / z.std(1, keepdim=True, correction=0)


def own_part(x, dim=0):
    """The part of this process, or all where there is one."""
    if not dist.is_initialized():
        return x, None
    sizes = shard_sizes(x.shape[dim], dist.get_world_size())
    return x.split(sizes, dim)[dist.get_rank()], sizes


def sums_and_rows():
    mine, sizes = own_part(torch.arange(2.0 * N_RECORDS).view(N_RECORDS, 2))
    return all_reduce_sum(mine.sum(0)), all_gather_rows(mine, sizes)


def loss_and_gradient(n_dims):
    views, sizes = own_part(standard(n_dims), 1)
    z1, z2 = views.clone().requires_grad_().unbind()
    z1, z2 = z1.detach().requires_grad_(), z2.detach().requires_grad_()
    loss = lfbt_loss(z1, z2, 0.7, 0.01, sizes)
    return [term.detach() for term in loss], torch.autograd.grad(loss.total, [z1, z2])


def bytes_of_the_loss():
    """The size of every tensor that a process sends for the loss, forward and backward."""
    views, sizes = own_part(standard(n_dims=40), 1)
    z1, z2 = views.clone().requires_grad_().unbind()
    sent: list[int] = []
    real = {name: getattr(dist, name) for name in ("all_reduce", "all_gather")}
    for name, function in real.items():

        def counting(*args, function=function):
            sent.append(args[-1].numel() * args[-1].element_size())
            function(*args)

        setattr(dist, name, counting)
    lfbt_loss(z1, z2, 0.7, 0.01, sizes).total.backward()
    for name, function in real.items():
        setattr(dist, name, function)
    return sent


def batch_norm_of(shape, affine):
    """Output, running statistics and gradients of `sync_batch_norm`, or of PyTorch's own where there is one process.

    The gradient behind it depends on the record, so that no part of it cancels out.
    """
    generator = torch.Generator().manual_seed(5)
    whole = torch.randn(N_RECORDS, *shape, generator=generator) * 3 + 7
    behind = torch.randn(N_RECORDS, *shape, generator=generator)
    x, behind = own_part(whole)[0].clone().requires_grad_(), own_part(behind)[0]
    channels = shape[0]
    scale, shift = (torch.arange(1.0, channels + 1).requires_grad_(), torch.ones(channels).requires_grad_())
    running = [torch.zeros(channels), torch.ones(channels)]
    norm: Any = sync_batch_norm if dist.is_initialized() else functools.partial(F.batch_norm, training=True)
    y = norm(x, *running, *((scale, shift) if affine else (None, None)), momentum=0.3)
    wanted = [x, scale, shift] if affine else [x]
    return y.detach(), running, torch.autograd.grad((y * behind).sum(), wanted)


def model_and_gradients(low_memory, dtype):
    """Loss, gradients and running statistics of encoders and projectors, of two views of seven records."""
    torch.set_default_dtype(dtype)
    config, sync = EncoderConfig(("II", "V1", "V5"), 6.4, 64), dist.is_initialized()
    with seeded(1):
        encoder = LeadEncoders(config, low_memory=low_memory, sync_batch_norm=sync).train()
        projectors = Projectors(3, 64, (16, 12), sync_batch_norm=sync).train()
    whole = torch.randn((2, N_RECORDS, 3, 64), generator=torch.Generator().manual_seed(2), dtype=dtype)
    views, sizes = own_part(whole, 1)
    z1, z2 = projectors(encoder(views))
    loss = lfbt_loss(z1, z2, 0.8, 0.0051, sizes)
    loss.total.backward()
    torch.set_default_dtype(torch.float32)
    gradients = {
        name: parameter.grad
        for part in (encoder, projectors)
        for name, parameter in part.named_parameters()
        if parameter.grad is not None
    }
    return loss.total.item(), gradients, dict(encoder.named_buffers())


CASES: list[tuple[str, Any, tuple[Any, ...]]] = [
    ("sums", sums_and_rows, ()),
    ("loss", loss_and_gradient, (6,)),
    # One process takes the matrices themselves here.
    ("loss of few dimensions", loss_and_gradient, (1,)),
    ("bytes of the loss", bytes_of_the_loss, ()),
    ("norm", batch_norm_of, ((4,), True)),
    ("norm without scale", batch_norm_of, ((4,), False)),
    ("norm over time", batch_norm_of, ((4, 9), True)),
    ("model", model_and_gradients, (False, torch.float64)),
    ("model, low memory", model_and_gradients, (True, torch.float64)),
    ("model, single precision", model_and_gradients, (False, torch.float32)),
]


def all_cases():
    return {name: function(*args) for name, function, args in CASES}


@pytest.fixture(scope="module")
def several():
    """What each of three processes found, in the order of their ranks."""
    return in_processes(3, all_cases)


def alone(name):
    function, args = next((function, args) for case, function, args in CASES if case == name)
    return function(*args)


def test_all_reduce_sum_and_all_gather_rows_are_those_of_all_records(several):
    whole = torch.arange(2.0 * N_RECORDS).view(N_RECORDS, 2)
    for found in several:
        total, rows = found["sums"]
        assert torch.equal(total, whole.sum(0))
        assert torch.equal(rows, whole)


@pytest.mark.parametrize("name", ["loss", "loss of few dimensions"])
def test_lfbt_loss_in_several_processes_is_that_of_the_complete_batch(several, name):
    terms, gradients = alone(name)
    for found in several:
        torch.testing.assert_close(found[name][0], terms)
    for i, gradient in enumerate(gradients):
        assert gradient.abs().max() > 1e-3
        torch.testing.assert_close(torch.cat([found[name][1][i] for found in several]), gradient)


def test_lfbt_loss_sends_projections_once_and_never_a_matrix_of_dimensions(several):
    """By hand, in double precision, of three leads and 40 dimensions: the larger share, then diagonals and squares."""
    share = -(-N_RECORDS // len(several))
    for found in several:
        assert found["bytes of the loss"] == [8 * share * 2 * 3 * 40, 8 * 3 * 3 * (40 + 1)]


@pytest.mark.parametrize("name", ["norm", "norm without scale", "norm over time"])
def test_sync_batch_norm_is_that_of_the_complete_batch(several, name):
    y, running, (of_x, *of_affine) = alone(name)
    torch.testing.assert_close(torch.cat([found[name][0] for found in several]), y, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(torch.cat([found[name][2][0] for found in several]), of_x, rtol=1e-4, atol=1e-5)
    for i, gradient in enumerate(of_affine, start=1):
        total = sum(found[name][2][i] for found in several)
        torch.testing.assert_close(total, gradient, rtol=1e-5, atol=1e-4)
    for found in several:
        torch.testing.assert_close(found[name][1], running)


@pytest.mark.parametrize(
    ("name", "rtol", "atol"),
    [("model", 1e-9, 1e-11), ("model, low memory", 1e-9, 1e-11), ("model, single precision", 1e-3, 1e-2)],
)
def test_model_gradients_and_statistics_are_those_of_the_complete_batch(several, name, rtol, atol):
    loss, gradients, buffers = alone(name)
    assert max(gradient.abs().max() for gradient in gradients.values()) > 1
    for found in several:
        assert found[name][0] == pytest.approx(loss, rel=max(rtol, 1e-12))
        for key, buffer in buffers.items():
            torch.testing.assert_close(found[name][2][key], buffer, rtol=rtol, atol=atol)
    for key, gradient in gradients.items():
        total = sum(found[name][1][key] for found in several)
        torch.testing.assert_close(total, gradient, rtol=rtol, atol=atol)


def test_sync_batch_norm_on_a_gpu_calls_pytorchs_alike():
    """Without a group SyncBatchNorm is the plain one, so that what it is given can be seen on a CPU."""
    from lfbt.utils.collectives import _by_pytorch

    x = torch.randn((5, 4, 3), generator=torch.Generator().manual_seed(0))
    scale, shift = torch.arange(1.0, 5.0, requires_grad=True), torch.ones(4, requires_grad=True)
    results = []
    for norm in (_by_pytorch, functools.partial(F.batch_norm, training=True)):
        mean, variance = torch.zeros(4), torch.ones(4)
        y = norm(x, mean, variance, scale, shift, momentum=0.3, eps=1e-3)
        results.append([y, mean, variance, *torch.autograd.grad(y.square().sum(), [scale, shift])])
    for mine, theirs in zip(*results, strict=True):
        assert torch.equal(mine, theirs)
    assert torch.equal(_by_pytorch(x, None, None, None, None, 0.1, 1e-5), F.batch_norm(x, None, None, training=True))


def buffers_of_the_main_process():
    """Running statistics that each process has of its own, and what they are once shared."""
    norm = torch.nn.BatchNorm1d(2)
    mean = norm.get_buffer("running_mean")
    mean.fill_(dist.get_rank() + 1)
    broadcast_buffers(norm)
    return mean


def test_broadcast_buffers_gives_all_processes_the_main_ones():
    for found in in_processes(2, buffers_of_the_main_process):
        assert found.tolist() == [1, 1]
