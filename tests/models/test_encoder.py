"""Encoders: the paper's sizes, equality with plain stacks of one-dimensional PyTorch layers, and their options."""

import copy
import dataclasses
import math

import pytest
import torch
from tests.literal import layers_of, literal_encoder, vgg16
from tests.models.helpers import signals_of
from tests.outputs import assert_same_tensors
from torch import nn

from lfbt.errors import LfbtError
from lfbt.models.encoder import EncoderConfig, LeadEncoders, estimate_batch_norm, random_encoder
from lfbt.models.heads import Head
from lfbt.models.projector import Projectors
from lfbt.recording import PAPER_LEADS
from lfbt.utils.tensors import seeded

CONFIG = EncoderConfig(("II", "V1", "V6"), sampling_rate=6.4, n_samples=64)


def assert_close(mine, literal, what=""):
    """Double precision through thirteen layers: sums in another order differ by about 1e-13 of their size."""
    torch.testing.assert_close(mine, literal, rtol=1e-9, atol=1e-11, msg=lambda text: f"{what} {text}")


def n_parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())


def encoder_with_statistics(config=CONFIG, seed=3):
    """A random encoder in double precision whose every tensor differs from its default."""
    encoder = random_encoder(config, seed).double()
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in encoder.state_dict().items():
        if "norms" in name and tensor.is_floating_point():
            tensor.copy_(0.5 + torch.rand(tensor.shape, generator=generator, dtype=tensor.dtype))
    return encoder


def literal_features(encoder, signals):
    """Features by plain stacks, lead by lead, and the stacks."""
    stacks = [literal_encoder(lead_encoder) for lead_encoder in encoder.encoders.values()]
    return torch.stack([stack(signals[:, i : i + 1]) for i, stack in enumerate(stacks)], dim=1), stacks


def test_lead_encoders_have_the_papers_parameter_counts():
    encoder = LeadEncoders(EncoderConfig(PAPER_LEADS, 204.8, 2048))
    assert [n_parameters(lead_encoder) for lead_encoder in encoder.encoders.values()] == [78_216] * 8
    assert n_parameters(encoder) == 625_728
    assert encoder.config.n_features == 64
    # The projectors of eight leads, one lead's at a time to spare memory.
    assert n_parameters(Projectors(8, 6, (5, 4))) == 8 * n_parameters(Projectors(1, 6, (5, 4)))
    assert n_parameters(encoder) + 8 * n_parameters(Projectors(1, 64, (2048, 2048, 2048))) == 68_848_704


@pytest.mark.parametrize("n_samples", [64, 77, 32])
def test_activations_are_what_features_are_the_mean_of(n_samples):
    encoder = encoder_with_statistics().eval()
    signals = signals_of(3, 3, n_samples).double()
    activations = encoder.activations(signals)
    assert activations.shape == (3, 3, n_samples // 32, 64)
    assert_close(activations.mean(dim=2), encoder(signals))


@pytest.mark.parametrize(("shape", "training"), [((1, 3, 64), True), ((1, 2, 64), False), ((1, 1, 3, 64), False)])
def test_activations_refuse_other_signals_and_training_mode(shape, training):
    with pytest.raises(LfbtError, match=r"activations: signals .* in evaluation mode"):
        encoder_with_statistics().train(training).activations(torch.zeros(shape, dtype=torch.float64))


@pytest.mark.parametrize("n_samples", [64, 77, 32])
@pytest.mark.parametrize("training", [True, False])
def test_lead_encoders_equal_plain_stacks_of_layers(training, n_samples):
    """Features, every gradient and, after two batches, the running statistics."""
    encoder = encoder_with_statistics().train(training)
    signals = signals_of(4, 3, n_samples).requires_grad_()
    expected, stacks = literal_features(encoder, signals)
    result = encoder(signals)
    assert_close(result, expected)
    assert result.shape == (4, 3, 64)

    target = signals_of(4, 3, 64, seed=1)
    (mine,) = torch.autograd.grad((result * target).sum(), signals, retain_graph=True)
    (literal,) = torch.autograd.grad((expected * target).sum(), signals, retain_graph=True)
    assert_close(mine, literal)
    (result * target).sum().backward()
    (expected * target).sum().backward()
    for lead_encoder, stack in zip(encoder.encoders.values(), stacks, strict=True):
        mine_all = [p.grad for pair in layers_of(lead_encoder) for layer in pair for p in layer.parameters()]
        for mine, parameter in zip(mine_all, stack.parameters(), strict=True):
            assert_close(mine, parameter.grad)

    second = signals_of(5, 3, n_samples, seed=2)
    encoder(second)
    for i, (lead_encoder, stack) in enumerate(zip(encoder.encoders.values(), stacks, strict=True)):
        stack(second[:, i : i + 1])
        literals = [layer for layer in stack if isinstance(layer, nn.BatchNorm1d)]
        for (_, mine), literal in zip(layers_of(lead_encoder), literals, strict=True):
            assert_close(mine.running_mean, literal.running_mean)
            assert_close(mine.running_var, literal.running_var)
            assert mine.num_batches_tracked == literal.num_batches_tracked == (2 if training else 0)


def test_lead_encoders_in_single_precision_are_close_to_double():
    """Thirteen layers of float32 keep about five digits."""
    encoder = random_encoder(CONFIG, 1).eval()
    signals = signals_of(3, 3, 64)
    expected, _ = literal_features(copy.deepcopy(encoder).double(), signals)
    result = encoder(signals.float())
    assert result.dtype == torch.float32
    torch.testing.assert_close(result.double(), expected, rtol=0, atol=1e-5 * expected.abs().max().item())


def test_lead_encoders_share_no_weights():
    encoder = encoder_with_statistics().eval()
    signals = signals_of(4, 3, 64)
    features = encoder(signals)
    changed = signals.clone()
    changed[:, 1] += 1
    others = encoder(changed)
    assert torch.equal(features[:, [0, 2]], others[:, [0, 2]])
    assert (features[:, 1] != others[:, 1]).any(dim=1).all()
    same = encoder(signals[:, :1].expand(-1, 3, -1))
    assert not torch.isclose(same[:, 0], same[:, 1]).all()
    assert not torch.isclose(same[:, 1], same[:, 2]).all()


def test_lead_encoders_and_projectors_give_every_parameter_a_gradient():
    """Those of a bias before a batch normalisation are zero by nature; of every other tensor some are not."""
    encoder, projectors = random_encoder(CONFIG, 0), Projectors(3, 64, (16, 16))
    z = projectors(encoder(signals_of(6, 3, 64, dtype=torch.float32)))
    (z * signals_of(*z.shape, seed=1, dtype=torch.float32)).sum().backward()
    for name, parameter in [*encoder.named_parameters(), *projectors.named_parameters()]:
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        if not ("convolutions" in name and name.endswith("bias")):
            assert parameter.grad.abs().max() > 1e-5, name


def test_lead_encoders_in_evaluation_do_not_depend_on_the_batch():
    encoder = encoder_with_statistics().eval()
    signals = signals_of(5, 3, 64)
    together = encoder(signals)
    for row in range(5):
        assert_close(encoder(signals[row : row + 1]), together[row : row + 1])
    assert (encoder.encoders["II"].norms[0].num_batches_tracked == 0).all()


def test_lead_encoders_refuse_signals_of_another_number_of_leads():
    encoder = random_encoder(CONFIG, 0).eval()
    for n_leads in (2, 4):
        for training in (True, False):
            with pytest.raises(LfbtError, match=rf"signals: shape \[2, {n_leads}, 64\] is not \[records, 3 leads"):
                encoder.train(training)(torch.zeros(2, n_leads, 64))


def test_select_leads_shares_weights_and_gives_their_columns():
    encoder = encoder_with_statistics().eval()
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    chosen = encoder.select_leads(("V6", "II"))
    assert chosen.config == dataclasses.replace(CONFIG, leads=("V6", "II"))
    assert list(chosen.encoders) == ["V6", "II"]
    signals = signals_of(4, 3, 64)
    assert torch.equal(chosen(signals[:, [2, 0]]), encoder(signals)[:, [2, 0]])
    for lead in ("V6", "II"):
        assert chosen.encoders[lead] is encoder.encoders[lead]
    assert encoder.config == CONFIG
    assert_same_tensors(before, encoder.state_dict())
    assert not chosen.training
    assert encoder.train().select_leads(("II",)).training


def test_select_leads_refuses_a_lead_without_an_encoder():
    with pytest.raises(LfbtError, match=r"lead V2,I: the encoder has none of that name; it has II,V1,V6"):
        random_encoder(CONFIG, 0).select_leads(("V2", "II", "I"))


def test_select_leads_keeps_the_options():
    encoder = random_encoder(CONFIG, 0, low_memory=True, sync_batch_norm=True)
    chosen = encoder.select_leads(("V6",))
    assert (chosen.low_memory, chosen.sync_batch_norm) == (True, True)


def test_with_options_shares_weights_and_changes_the_options_named():
    encoder = encoder_with_statistics().eval()
    spared = encoder.with_options(low_memory=True)
    both = spared.with_options(sync_batch_norm=True)
    assert (encoder.low_memory, encoder.sync_batch_norm) == (False, False)
    assert (spared.low_memory, spared.sync_batch_norm) == (True, False)
    assert (both.low_memory, both.sync_batch_norm) == (True, True)
    assert both.config == CONFIG
    assert not both.training
    assert list(both.state_dict()) == list(encoder.state_dict())
    for mine, theirs in zip(both.parameters(), encoder.parameters(), strict=True):
        assert mine is theirs
    for mine, theirs in zip(both.buffers(), encoder.buffers(), strict=True):
        assert mine is theirs


def test_with_options_leaves_the_global_generator_alone():
    encoder = random_encoder(CONFIG, 0)
    state = torch.get_rng_state()
    encoder.with_options(low_memory=True)
    assert torch.equal(torch.get_rng_state(), state)


def test_random_encoder_follows_from_its_seed():
    torch.manual_seed(1)
    one = random_encoder(CONFIG, 4)
    torch.manual_seed(2)
    assert_same_tensors(one.state_dict(), random_encoder(CONFIG, 4).state_dict())
    other = random_encoder(CONFIG, 5).state_dict()
    for name, tensor in one.state_dict().items():
        if "convolutions" in name:
            assert not torch.equal(tensor, other[name]), name


def test_random_encoder_draws_as_pytorchs_layers():
    """The same draws as plain layers made one after the other."""
    with seeded(4):
        stack = nn.ModuleList(vgg16() for _ in CONFIG.leads)
    drawn = [tensor for name, tensor in stack.state_dict().items() if "num_batches" not in name]
    encoder = random_encoder(CONFIG, 4).eval()
    own = [stack.state_dict() for stack in literal_features(encoder, torch.zeros(2, 3, 64))[1]]
    mine = [tensor for state in own for name, tensor in state.items() if "num_batches" not in name]
    for one, other in zip(mine, drawn, strict=True):
        assert torch.equal(one, other)


def test_random_encoder_has_the_same_weights_whatever_the_options():
    plain = random_encoder(CONFIG, 4)
    other = random_encoder(CONFIG, 4, low_memory=True, sync_batch_norm=True)
    assert (other.low_memory, other.sync_batch_norm) == (True, True)
    assert_same_tensors(plain.state_dict(), other.state_dict())


def test_estimate_batch_norm_averages_over_batches():
    """Against batch means and unbiased variances taken at the entry of every norm of a plain stack."""
    encoder = encoder_with_statistics()
    weights = {name: parameter.clone() for name, parameter in encoder.named_parameters()}
    batches = [signals_of(4, 3, 64, seed=seed) for seed in range(3)]
    means: dict[str, list] = {}
    for i, (lead, lead_encoder) in enumerate(encoder.encoders.items()):
        stack = literal_encoder(lead_encoder).train()
        norms = [layer for layer in stack if isinstance(layer, nn.BatchNorm1d)]
        for k, norm in enumerate(norms):
            entries = means.setdefault(f"{lead} {k}", [])
            norm.register_forward_pre_hook(lambda _, x, kept=entries: kept.append(x[0].transpose(0, 1).flatten(1)))
        for batch in batches:
            stack(batch[:, i : i + 1])

    estimate_batch_norm(encoder, iter(batches))
    assert not encoder.training
    assert_same_tensors(weights, dict(encoder.named_parameters()))
    for lead, lead_encoder in encoder.encoders.items():
        for k, norm in enumerate(lead_encoder.norms):
            entries = means[f"{lead} {k}"]
            mean = torch.stack([x.mean(dim=1) for x in entries]).mean(dim=0)
            var = torch.stack([x.var(dim=1) for x in entries]).mean(dim=0)
            assert_close(norm.running_mean, mean)
            assert_close(norm.running_var, var)
            assert norm.num_batches_tracked == 3
            assert norm.momentum == 0.1
    first = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    estimate_batch_norm(encoder, batches)
    assert_same_tensors(first, encoder.state_dict())


def test_lead_encoders_have_features_by_width():
    encoder = random_encoder(dataclasses.replace(CONFIG, width=0.0625), 0)
    assert encoder(torch.zeros(2, 3, 64)).shape == (2, 3, 32)
    assert encoder.config.n_features == 32


@pytest.mark.parametrize("width", [0.0, 0.01, -0.125, math.nan, math.inf])
def test_lead_encoders_refuse_a_width_without_channels(width):
    with pytest.raises(LfbtError, match=rf"width: {width} .*0\.0156"):
        LeadEncoders(dataclasses.replace(CONFIG, width=width))
    assert LeadEncoders(dataclasses.replace(CONFIG, width=1 / 64)).config.n_features == 8


def test_lead_encoders_refuse_too_few_samples():
    with pytest.raises(LfbtError, match=r"n_samples: 31 .*\b32\b"):
        LeadEncoders(dataclasses.replace(CONFIG, n_samples=31))
    encoder = random_encoder(dataclasses.replace(CONFIG, n_samples=32), 0)
    assert encoder(torch.zeros(1, 3, 32)).shape == (1, 3, 64)


@pytest.mark.parametrize("leads", [(), ("II", "II"), ("a/b",)])
def test_lead_encoders_refuse_bad_leads(leads):
    with pytest.raises(LfbtError, match="leads: "):
        LeadEncoders(dataclasses.replace(CONFIG, leads=leads))


def test_select_leads_takes_a_text_and_names_only():
    encoder = random_encoder(EncoderConfig(("II", "V1", "V5"), 6.4, 64), seed=0)
    assert encoder.select_leads("II,v1").config.leads == ("II", "V1")
    assert encoder.select_leads("II").config.leads == ("II",)
    with pytest.raises(LfbtError, match=r"^lead V9: the encoder has none of that name; it has II,V1,V5"):
        encoder.select_leads("II,V9")
    with pytest.raises(LfbtError, match=r"^leads: 3 is not a text$"):
        encoder.select_leads(3)  # type: ignore[arg-type]


def test_lead_encoders_print_as_one_line():
    encoder = LeadEncoders(EncoderConfig(("II", "V1"), sampling_rate=6.4, n_samples=64))
    said = "leads II,V1, 6.4 Hz, 64 samples, normalisation record, 64 features a lead"
    assert repr(encoder) == f"LeadEncoders({said})"


@pytest.mark.parametrize("with_gradient", [False, True])
def test_torch_export_gives_a_program_for_any_number_of_records(with_gradient):
    encoder = encoder_with_statistics().eval()
    classifier = nn.Sequential(encoder, nn.Flatten(1), Head(192, 2).double().eval())
    records = torch.export.Dim("records", min=1)
    with torch.set_grad_enabled(with_gradient):
        program = torch.export.export(classifier, (signals_of(2, 3, 64),), dynamic_shapes=({0: records},))
        for n in (1, 5):
            signals = signals_of(n, 3, 64)
            assert_close(program.module()(signals), classifier(signals))
