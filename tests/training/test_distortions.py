"""Distortions of views: each against its definition, record by record, and what chance may decide."""

import math

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from scipy.stats import kstest

from lfbt.errors import LfbtError
from lfbt.recording import PAPER_LEADS
from lfbt.training.distortions import (
    Distortions,
    add_hum,
    add_noise,
    add_wander,
    drop_leads,
    hashed_normal,
    rotate_vector,
    rotations,
    scale,
)
from lfbt.training.settings import DistortionSettings
from lfbt.vectorcardiogram import dower_transforms

EACH = {"vcg_rotation": 45.0, "scale": 0.2, "wander": 0.3, "hum": 0.2, "noise": 0.1, "lead_dropout": 0.3}
RATE = 125.0


def normal(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


def drawn(*shape, seed=1):
    return np.random.default_rng(seed).random(shape)


def test_rotations_are_those_of_scipy():
    degrees = np.random.default_rng(0).uniform(-180, 180, (20, 3))
    np.testing.assert_allclose(rotations(degrees), Rotation.from_euler("xyz", degrees, degrees=True).as_matrix())


def test_rotate_vector_rotates_what_the_vectorcardiogram_explains_and_keeps_the_rest():
    signals, degrees = normal(4, 8, 32), np.random.default_rng(0).uniform(-45, 45, (4, 3))
    to_leads, to_vector = dower_transforms(PAPER_LEADS)
    result = rotate_vector(signals, degrees, to_leads, to_vector).numpy()
    for record, signal in enumerate(signals.numpy()):
        vector = to_vector @ signal
        rest = signal - to_leads @ vector
        turned = Rotation.from_euler("xyz", degrees[record], degrees=True).as_matrix() @ vector
        np.testing.assert_allclose(result[record], to_leads @ turned + rest, atol=1e-12)
        np.testing.assert_allclose(np.linalg.norm(to_vector @ result[record], axis=0), np.linalg.norm(vector, axis=0))
    assert torch.equal(rotate_vector(signals, 0 * degrees, to_leads, to_vector), signals)


def test_scale_multiplies_by_a_power_of_e():
    signals, draws = normal(3, 2, 5), np.array([0.0, 0.5, 0.75])
    factors = np.exp([-0.4, 0.0, 0.2])[:, None, None]
    np.testing.assert_allclose(scale(signals, 0.4, draws), signals.numpy() * factors, rtol=1e-12)


def literal_sine(signal, frequency, most, draws):
    phase, amplitude, gains = draws[0], draws[1], 2 * draws[2:] - 1
    expected = np.empty(signal.shape)
    for lead, t in np.ndindex(signal.shape):
        wave = math.sin(2 * math.pi * (frequency * t / RATE + phase))
        expected[lead, t] = signal[lead, t] + most * amplitude * gains[lead] * wave
    return expected


def test_add_wander_adds_a_slow_sine_to_each_lead():
    signals, draws, most = normal(4, 3, 60), drawn(4, 6), torch.tensor([0.0, 0.5, 1.0, 2.0]).double()
    result = add_wander(signals, most, draws, RATE)
    for record in range(4):
        frequency = 0.05 + 0.45 * draws[record, 0]
        expected = literal_sine(signals[record], frequency, most[record], draws[record, 1:])
        np.testing.assert_allclose(result[record], expected, atol=1e-12)
    assert torch.equal(result[0], signals[0])


@pytest.mark.parametrize(("rate", "second"), [(125.0, 60.0), (102.4, 50.0)])
def test_add_hum_adds_a_sine_of_50_or_60_hz_that_the_rate_can_hold(monkeypatch, rate, second):
    monkeypatch.setattr(f"{__name__}.RATE", rate)
    signals, draws, most = normal(2, 3, 60), drawn(2, 6), torch.tensor([0.5, 1.5]).double()
    draws[:, 0] = [0.49, 0.5]
    result = add_hum(signals, most, draws, rate)
    for record, frequency in enumerate((50.0, second)):
        expected = literal_sine(signals[record], frequency, most[record], draws[record, 1:])
        np.testing.assert_allclose(result[record], expected, atol=1e-12)


def literal_normal(seed, n):
    """SplitMix64 in whole numbers of Python, and Box and Muller's transform."""

    def mixed(x):
        x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
        x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) % 2**64
        return x ^ (x >> 31)

    numbers = []
    for place in range(1, n + 1):
        x = mixed((mixed(seed) + place * 0x9E3779B97F4A7C15) % 2**64)
        radius = math.sqrt(-2 * math.log(((x >> 40) + 0.5) / 2**24))
        angle = 2 * math.pi * (x % 2**24) / 2**24
        numbers += [radius * math.cos(angle), radius * math.sin(angle)]
    return numbers


def test_hashed_normal_is_splitmix_by_seed():
    seeds = [0, 1, 2**53 - 1, 123456789]
    result = hashed_normal(torch.tensor(seeds), 40)
    np.testing.assert_allclose(result, [literal_normal(seed, 40) for seed in seeds], atol=2e-6)
    assert torch.equal(hashed_normal(torch.tensor(seeds[2:3]), 40)[0], result[2])


def test_hashed_normal_is_standard_normal():
    numbers = hashed_normal(torch.arange(100), 1000).numpy()
    assert kstest(numbers.ravel(), "norm").pvalue > 0.01
    # 200,000 products: their mean is within four standard errors, between numbers of a pair, of a place and of seeds.
    for one, other in ((numbers[:, :-1], numbers[:, 1:]), (numbers[:-1], numbers[1:])):
        assert abs((one * other).mean()) < 4 / math.sqrt(one.size)


@pytest.mark.parametrize("n_samples", [6, 7])
def test_add_noise_has_a_part_of_the_largest_deviation(n_samples):
    signals, draws, most = normal(3, 2, n_samples), drawn(3, 2), torch.tensor([0.0, 1.0, 2.0]).double()
    result = add_noise(signals, most, draws)
    pairs = (n_samples + 1) // 2
    for record in range(3):
        noise = np.array(literal_normal(int(draws[record, 1] * 2**53), 2 * pairs)).reshape(2, -1)[:, :n_samples]
        expected = signals[record].numpy() + float(most[record]) * draws[record, 0] * noise
        np.testing.assert_allclose(result[record], expected, atol=1e-5)


def test_drop_leads_leaves_one_lead_at_least():
    draws = np.array([[0.1, 0.3, 0.9], [0.1, 0.29, 0.2], [0.5, 0.6, 0.7], [0.299, 0.3, 0.1]])
    kept = drop_leads(torch.ones(4, 3, 2), 0.3, draws)
    assert kept[:, :, 0].tolist() == [[0, 1, 1], [0, 1, 0], [1, 1, 1], [0, 1, 0]]
    assert torch.equal(kept[:, :, 0], kept[:, :, 1])


def test_apply_joins_all_in_this_order_by_the_deviation_of_the_record():
    signals = normal(5, 8, 64) * torch.arange(1.0, 6)[:, None, None]
    views = torch.stack([signals, signals.flip(2), signals.roll(3, 2)])
    distortions = Distortions(DistortionSettings(**EACH), PAPER_LEADS, RATE)
    draws = distortions.draw(7, 2, 5, 3)
    result = distortions.apply(views, [signals] * 3, draws)
    most = torch.from_numpy(signals.numpy().std(axis=(1, 2)))
    for view in range(3):
        own = {name: of[:, view] for name, of in draws.items()}
        x = rotate_vector(views[view], 45 * (2 * own["vcg_rotation"] - 1), *dower_transforms(PAPER_LEADS))
        x = scale(x, 0.2, own["scale"][:, 0])
        x = add_wander(x, 0.3 * most, own["wander"], RATE)
        x = add_hum(x, 0.2 * most, own["hum"], RATE)
        x = add_noise(x, 0.1 * most, own["noise"])
        torch.testing.assert_close(result[view], drop_leads(x, 0.3, own["lead_dropout"]), rtol=0, atol=1e-12)


def test_apply_without_any_returns_the_views_themselves():
    distortions, views = Distortions(DistortionSettings(), ("II",), 5.0), normal(2, 3, 1, 64)
    assert distortions.draw(0, 0, 3, 2) == {}
    assert distortions.apply(views, [views[0]] * 2, {}) is views


@pytest.mark.parametrize("name", EACH)
def test_distortions_are_drawn_by_seed_epoch_record_and_view_whatever_else_is_on(name):
    draws = Distortions(DistortionSettings(**{name: EACH[name]}), PAPER_LEADS, RATE).draw(7, 2, 10, 3)
    assert list(draws) == [name]
    both = Distortions(DistortionSettings(**EACH), PAPER_LEADS, RATE)
    assert list(both.draw(7, 2, 10, 3)) == list(EACH)
    np.testing.assert_array_equal(both.draw(7, 2, 20, 3)[name][:10], draws[name])
    assert len(np.unique(draws[name])) == draws[name].size
    for others in (both.draw(8, 2, 10, 3), both.draw(7, 3, 10, 3), both.draw(2, 7, 10, 3)):
        assert not np.isin(others[name], draws[name]).any()
    for other in EACH.keys() - {name}:
        assert not np.isin(both.draw(7, 2, 10, 3)[other], draws[name]).any()
    assert not np.isin(np.random.default_rng((7, 2)).random((10, 3, 4)), draws[name]).any()


@pytest.mark.parametrize("name", EACH)
def test_apply_does_not_depend_on_the_batch_and_leaves_its_input_alone(name):
    signals = normal(10, 8, 64).float()
    views = torch.stack([signals, -signals])
    before = views.clone()
    distortions = Distortions(DistortionSettings(**{name: EACH[name]}), PAPER_LEADS, RATE)
    draws = distortions.draw(7, 2, 10, 2)
    whole = distortions.apply(views, [signals] * 2, draws)
    assert torch.equal(views, before)
    assert whole.dtype == torch.float32
    assert not torch.equal(whole[0], -whole[1])
    order = np.array([3, 0, 6])
    some = distortions.apply(views[:, order], [signals[order]] * 2, {name: draws[name][order]})
    torch.testing.assert_close(some, whole[:, order], rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "leads", "rate", "message"),
    [
        ({"hum": 0.1}, PAPER_LEADS, 100.0, "hum: records of 100 Hz hold no mains hum of 50 Hz"),
        ({"vcg_rotation": 45.0}, ("II", "V1"), 500.0, "vcg_rotation: absent lead I,V2,V3,V4,V5,V6 .*; a vectorcard"),
        ({"lead_dropout": 0.1}, ("II",), 500.0, "lead_dropout: has no effect on 1 lead"),
    ],
)
def test_distortions_refuse_records_that_they_cannot_be_of(settings, leads, rate, message):
    with pytest.raises(LfbtError, match=f"^{message}"):
        Distortions(DistortionSettings(**settings), leads, rate)
