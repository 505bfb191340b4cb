"""The encoders in training on a CPU: equal to plain layers, however computed, and nothing left behind."""

import gc
import threading

import pytest
import torch
from tests.literal import layers_of, literal_encoder
from torch import nn

from lfbt.errors import LfbtError
from lfbt.models.cpu import layer_ops
from lfbt.models.encoder import EncoderConfig, LeadEncoders, random_encoder

CONFIG = EncoderConfig(("II", "V1", "V6"), sampling_rate=6.4, n_samples=64)


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def encoder_in_training(low_memory=False, config=CONFIG):
    encoder = random_encoder(config, 3, low_memory=low_memory).double().train()
    for i, parameter in enumerate(encoder.parameters()):
        if parameter.ndim == 1:
            parameter.data = 0.5 * random(*parameter.shape, seed=i) + 0.7
    return encoder


def learn(encoder, views, target):
    """Features and, in the encoder, the gradients of their product with `target`."""
    features = encoder(views)
    (features * target).sum().backward()
    return features.detach()


@pytest.fixture
def _three_threads(set_threads):
    set_threads(3)


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("low_memory", [True, False])
@pytest.mark.parametrize("n_samples", [32, 64, 77])
def test_encode_in_training_equals_plain_layers_for_two_views(n_samples, low_memory, compiled, monkeypatch):
    """Features, gradients of all parameters, and running statistics brought up to date once for each view."""
    if not compiled:
        monkeypatch.setattr(layer_ops, "has_numba", lambda: False)
    encoder = encoder_in_training(low_memory)
    stacks = [literal_encoder(lead) for lead in encoder.encoders.values()]
    views, target = random(2, 5, 3, n_samples), random(2, 5, 3, 64, seed=1)
    expected = torch.stack(
        [torch.stack([stack(view[:, i : i + 1]) for i, stack in enumerate(stacks)], dim=1) for view in views]
    )
    (expected * target).sum().backward()
    features = learn(encoder, views, target)
    torch.testing.assert_close(features, expected, rtol=1e-9, atol=1e-11)
    for lead, stack in zip(encoder.encoders.values(), stacks, strict=True):
        mine = [p.grad for pair in layers_of(lead) for layer in pair for p in layer.parameters()]
        for own, parameter in zip(mine, stack.parameters(), strict=True):
            torch.testing.assert_close(own, parameter.grad, rtol=1e-9, atol=1e-10)
        norms = [layer for layer in stack if isinstance(layer, nn.BatchNorm1d)]
        for (_, own_norm), norm in zip(layers_of(lead), norms, strict=True):
            for name, buffer in norm.named_buffers():
                torch.testing.assert_close(own_norm.get_buffer(name), buffer, msg=name)
            assert norm.num_batches_tracked == 2


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("with_views", [True, False])
def test_fused_and_grouped_features_agree(training, with_views):
    """The grouped form is what a GPU uses, and what the gradient of signals or of a frozen encoder needs."""
    one, other = (encoder_in_training() for _ in range(2))
    views, target = random(2, 5, 3, 77), random(2, 5, 3, 64, seed=1)
    if not with_views:
        views, target = views[0], target[0]
    if training:
        features = learn(one, views, target)
        expected = learn(other, views.clone().requires_grad_(), target)
        for own, theirs in zip(one.parameters(), other.parameters(), strict=True):
            torch.testing.assert_close(own.grad, theirs.grad, rtol=1e-9, atol=1e-10)
        for own, theirs in zip(one.buffers(), other.buffers(), strict=True):
            torch.testing.assert_close(own, theirs)
    else:
        one.eval(), other.eval()
        expected = other(views).detach()
        with torch.no_grad():
            features = one(views)
    torch.testing.assert_close(features, expected, rtol=1e-9, atol=1e-11)


def test_encode_in_training_with_low_memory_gives_the_same_bits():
    """With several threads a convolution's sums over records are split otherwise, so the last digits differ."""
    results = []
    for low_memory in (False, True):
        encoder = random_encoder(CONFIG, 3, low_memory=low_memory).train()
        features = learn(encoder, random(2, 5, 3, 64).float(), random(2, 5, 3, 64, seed=1).float())
        results.append([features, *(p.grad for p in encoder.parameters()), *encoder.buffers()])
    for one, other in zip(*results, strict=True):
        assert torch.equal(one, other)


@pytest.mark.usefixtures("_three_threads")
def test_encode_in_training_does_not_depend_on_the_number_of_threads():
    """Each lead of each view is one thread's."""
    views, target = random(2, 5, 3, 64).float(), random(2, 5, 3, 64, seed=1).float()
    results = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        encoder = random_encoder(CONFIG, 3).train()
        features = learn(encoder, views, target)
        results.append([features, *(p.grad for p in encoder.parameters())])
    for others in results[1:]:
        for one, other in zip(results[0], others, strict=True):
            assert torch.equal(one, other)


@pytest.mark.usefixtures("_three_threads")
def test_parallel_map_ends_its_threads_and_leaves_their_number_alone():
    before = threading.active_count()
    encoder = encoder_in_training()
    learn(encoder, random(2, 5, 3, 64), random(2, 5, 3, 64, seed=1))
    assert torch.get_num_threads() == 3
    assert threading.active_count() == before
    counts = []
    thread = threading.Thread(target=lambda: counts.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert counts == [3]


@pytest.mark.usefixtures("_three_threads")
def test_parallel_map_raises_the_error_of_a_lead_and_ends_its_threads():
    before = threading.active_count()
    encoder = encoder_in_training()
    with pytest.raises(RuntimeError, match="scalar type"):
        encoder(random(5, 3, 64).int())
    assert threading.active_count() == before
    assert torch.get_num_threads() == 3


def test_encode_in_training_without_gradient_updates_statistics():
    """As the estimate of batch-norm statistics needs it."""
    encoder = encoder_in_training()
    with torch.no_grad():
        features = encoder(random(5, 3, 64))
    assert not features.requires_grad
    tracked = [count for name, count in encoder.named_buffers() if name.endswith("num_batches_tracked")]
    assert tracked == [1] * 39


def encode_node(features):
    """The node of the graph that holds what the encoders kept."""
    node = features.grad_fn
    while "_Encode" not in type(node).__name__:
        node = node.next_functions[0][0]
    return node


def test_encode_in_training_keeps_outputs_or_with_low_memory_signals_only():
    """Each convolution's output and the signals, little else; with low memory the signals."""
    values = {}
    for low_memory in (False, True):
        features = encoder_in_training(low_memory)(random(2, 5, 3, 64))
        saved = encode_node(features).saved_tensors
        values[low_memory] = sum(tensor.numel() for tensor in saved)
    statistics = 2 * 2 * 3 * sum((8, 8, 16, 16, 32, 32, 32, *[64] * 6)) + 1  # and of how many records they are
    signals = 2 * 5 * 3 * 64
    samples = [64, 64, 32, 32, 16, 16, 16, 8, 8, 8, 4, 4, 4]
    channels = [8, 8, 16, 16, 32, 32, 32, *[64] * 6]
    outputs = 2 * 5 * 3 * sum(t * c for t, c in zip(samples, channels, strict=True))
    assert values == {False: signals + statistics + outputs, True: signals + statistics}


def test_encode_in_training_frees_its_graph_with_the_features():
    encoder = encoder_in_training()
    gc.collect()
    before = sum(issubclass(type(one), torch.Tensor) for one in gc.get_objects())
    features = encoder(random(2, 5, 3, 64))
    features.sum().backward()
    encoder.zero_grad(set_to_none=True)
    del features
    assert sum(issubclass(type(one), torch.Tensor) for one in gc.get_objects()) == before


def test_encode_in_training_refuses_a_second_derivative():
    encoder = encoder_in_training()
    features = encoder(random(5, 3, 64))
    weight = encoder.get_parameter("encoders.II.convolutions.0.weight")
    (first,) = torch.autograd.grad(features.square().sum(), weight, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()


def test_encode_in_training_gives_frozen_parameters_no_gradient():
    encoder, whole = encoder_in_training(), encoder_in_training()
    views, target = random(2, 5, 3, 64), random(2, 5, 3, 64, seed=1)
    encoder.encoders["V1"].requires_grad_(False)
    learn(encoder, views, target), learn(whole, views, target)
    for (name, own), theirs in zip(encoder.named_parameters(), whole.parameters(), strict=True):
        if name.startswith("encoders.V1."):
            assert own.grad is None
        else:
            assert torch.equal(own.grad, theirs.grad)


@pytest.mark.usefixtures("_three_threads")
def test_parallel_map_of_one_lead_leaves_it_all_threads():
    encoder = LeadEncoders(EncoderConfig(("II",), 6.4, 64)).train()
    encoder(torch.zeros(4, 1, 64))
    assert torch.get_num_threads() == 3


@pytest.mark.usefixtures("_three_threads")
def test_encode_in_training_takes_other_numbers_of_threads_backward():
    """With three threads forward and one backward, and the other way round."""
    expected, target = encoder_in_training(), random(2, 5, 3, 64, seed=1)
    learn(expected, random(2, 5, 3, 64), target)
    for forward, backward in ((3, 1), (1, 3)):
        encoder = encoder_in_training()
        torch.set_num_threads(forward)
        loss = (encoder(random(2, 5, 3, 64)) * target).sum()
        torch.set_num_threads(backward)
        loss.backward()
        for own, theirs in zip(encoder.parameters(), expected.parameters(), strict=True):
            torch.testing.assert_close(own.grad, theirs.grad)


@pytest.mark.usefixtures("_three_threads")
def test_start_pool_raises_when_a_thread_cannot_start(monkeypatch):
    before, start, started = threading.active_count(), threading.Thread.start, []

    def second_fails(thread):
        started.append(thread)
        if len(started) == 2:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", second_fails)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        encoder_in_training()(random(5, 3, 64))
    assert torch.get_num_threads() == 3
    assert threading.active_count() == before


@pytest.mark.filterwarnings("ignore:TF32 acceleration on top of oneDNN")
@pytest.mark.parametrize("onednn", [True, False])
@pytest.mark.parametrize("n_records", [1, 2, 16])
def test_encode_in_training_takes_other_implementations_of_convolutions(n_records, onednn):
    """Other implementations of the convolution return other layouts."""
    encoder, views = random_encoder(CONFIG, 3).train(), random(2, n_records, 3, 77)
    exact = random_encoder(CONFIG, 3).double().train()
    with torch.backends.mkldnn.flags(enabled=onednn):
        features = encoder(views.float())
        features.sum().backward()
    torch.testing.assert_close(features.double(), exact(views), rtol=1e-3, atol=1e-4)
    assert all(gradient.isfinite().all() for gradient in [p.grad for p in encoder.parameters()] if gradient is not None)


@pytest.mark.parametrize("width", [0.05, 0.3, 1.0])
def test_encode_in_training_takes_other_widths(width):
    """Channels that do not fill a row, and more than one."""
    config = EncoderConfig(("II", "V1"), 6.4, 64, width=width)
    encoder, other = (encoder_in_training(config=config) for _ in range(2))
    views, target = random(2, 3, 2, 64), random(2, 3, 2, config.n_features, seed=1)
    features = learn(encoder, views, target)
    expected = learn(other, views.clone().requires_grad_(), target)
    torch.testing.assert_close(features, expected, rtol=1e-8, atol=1e-10)
    for own, theirs in zip(encoder.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(own.grad, theirs.grad, rtol=1e-7, atol=1e-8)


def test_running_statistics_without_momentum_are_averages_over_views():
    """Without momentum the running statistics are the mean over all batches."""
    encoder = encoder_in_training()
    norm = encoder.get_submodule("encoders.V1.norms.3")
    for one in encoder.modules():
        if isinstance(one, nn.BatchNorm1d):
            one.reset_running_stats()
            one.momentum = None
    alone, views = [], random(3, 5, 3, 64)
    for view in views:
        single = encoder_in_training()
        for one in single.modules():
            if isinstance(one, nn.BatchNorm1d):
                one.momentum = 1.0
        single(view)
        alone.append(single.get_buffer("encoders.V1.norms.3.running_mean"))
    encoder(views)
    torch.testing.assert_close(norm.get_buffer("running_mean"), torch.stack(alone).mean(dim=0))


@pytest.mark.parametrize("training", [True, False])
def test_lead_encoders_refuse_signals_of_too_few_samples(training):
    with pytest.raises(LfbtError, match=r"signals: 31 samples are too few"), torch.no_grad():
        random_encoder(CONFIG, 0).train(training)(torch.zeros(2, 3, 31))
