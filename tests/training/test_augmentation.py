"""The two views: the crop against scipy record by record, the time-out by hand, and what chance may decide."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.literal import literal_crop, literal_view

from lfbt.errors import LfbtError
from lfbt.training import augmentation as views
from lfbt.training.augmentation import draw_views, random_view, random_views, resized_crop, time_out

# The method asks for scipy's result to 2e-6 of the signal's scale: single precision through three Fourier transforms.
TOLERANCE = 2e-6

unit = st.floats(0, 1, exclude_max=True)


def integers(*values):
    return np.array(values, dtype=np.int64)


def normal(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def assert_close(result, expected):
    np.testing.assert_allclose(result.numpy(), expected, rtol=0, atol=TOLERANCE * np.abs(expected).max())


def spied_parts(patch):
    """What random_view cuts out and blanks, start and length by record, instead of doing so."""
    parts: dict[str, tuple] = {}

    def spy(name):
        def keep(signals, start, length):
            # The records come a few at a time.
            before = parts.get(name, (start[:0], length[:0]))
            parts[name] = (np.r_[before[0], start], np.r_[before[1], length])
            return signals

        return keep

    patch.setattr(views, "resized_crop", spy("crop"))
    patch.setattr(views, "time_out", spy("out"))
    return parts


@pytest.mark.parametrize("n_samples", [32, 33, 64, 65, 100, 127])
def test_resized_crop_equals_scipy_for_every_length(n_samples):
    lengths = np.arange(n_samples // 2, n_samples + 1)
    starts = np.random.default_rng(1).integers(0, n_samples - lengths + 1)
    assert {(n_samples - n) % 2 for n in lengths} == {0, 1}
    signals = normal(len(lengths), 3, n_samples)
    expected = [literal_crop(*args) for args in zip(signals.numpy(), starts, lengths, strict=True)]
    result = resized_crop(signals, starts, lengths)
    assert result.dtype == torch.float32
    assert_close(result, np.stack(expected))


@pytest.mark.parametrize("n_samples", [2047, 2048])
def test_resized_crop_equals_scipy_at_the_papers_size(n_samples):
    lengths = integers(n_samples // 2, n_samples // 2 + 1, 1500, 1531, n_samples - 1, n_samples)
    starts = integers(0, n_samples // 2 - 1, 300, 41, 1, 0)
    signals = normal(len(lengths), 2, n_samples) * 1000
    expected = [literal_crop(*args) for args in zip(signals.numpy(), starts, lengths, strict=True)]
    assert_close(resized_crop(signals, starts, lengths), np.stack(expected))


@pytest.mark.parametrize("n_samples", [64, 65])
def test_resized_crop_of_everything_is_the_signal(n_samples):
    signals = normal(2, 2, n_samples)
    assert_close(resized_crop(signals, integers(0, 0), integers(n_samples, n_samples)), signals.numpy())


@pytest.mark.parametrize(("length", "cycles"), [(48, 0), (48, 5), (40, 20), (33, 16), (33, 1)])
def test_resized_crop_stretches_complete_waves(length, cycles):
    """A part of so many complete cycles becomes as many over the complete record, of the same height; at n/2 too."""
    signals = torch.zeros(1, 1, 64)
    wave = np.cos(2 * np.pi * cycles * np.arange(length) / length)
    signals[0, 0, 7 : 7 + length] = torch.from_numpy(wave)
    expected = np.cos(2 * np.pi * cycles * np.arange(64) / 64)[None, None]
    np.testing.assert_allclose(
        resized_crop(signals, integers(7), integers(length)).numpy(), expected, rtol=0, atol=TOLERANCE
    )


def test_resized_crop_depends_on_its_part_only():
    signals = normal(2, 3, 64)
    changed = signals.clone()
    changed[0, :, :10] = changed[0, :, 50:] = 1e6
    changed[1, :, 33:] = -1e6
    starts, lengths = integers(10, 0), integers(40, 33)
    assert torch.equal(resized_crop(signals, starts, lengths), resized_crop(changed, starts, lengths))
    changed[0, 1, 49] += 1
    assert not torch.equal(resized_crop(signals, starts, lengths), resized_crop(changed, starts, lengths))


def test_time_out_sets_its_part_to_zero():
    signals = torch.tensor([[[1.0, 2, 3, 4], [5, 6, 7, 8]]]).repeat(4, 1, 1)
    before = signals.clone()
    result = time_out(signals, integers(0, 1, 3, 2), integers(0, 2, 1, 2))
    expected = [
        [[1, 2, 3, 4], [5, 6, 7, 8]],
        [[1, 0, 0, 4], [5, 0, 0, 8]],
        [[1, 2, 3, 0], [5, 6, 7, 0]],
        [[1, 2, 0, 0], [5, 6, 0, 0]],
    ]
    assert result.tolist() == expected
    assert torch.equal(signals, before)


@pytest.mark.parametrize("n_samples", [64, 65])
def test_random_view_is_crop_then_time_out(n_samples):
    signals = normal(20, 3, n_samples)
    draws = draw_views(3, 1, 20)[:, 1]
    expected = np.stack([literal_view(signal, draw) for signal, draw in zip(signals.numpy(), draws, strict=True)])
    result = random_view(signals, draws)
    assert_close(result, expected)
    np.testing.assert_array_equal(result.numpy() == 0, expected == 0)
    assert (expected == 0).any()


@given(
    st.integers(32, 200),
    st.lists(st.tuples(unit, unit, unit, unit), min_size=1, max_size=5),
    st.sampled_from([(), (0.1, 0.9), (1.0, 0.0), (0.7, 0.25)]),
)
def test_random_view_keeps_within_the_bounds(n_samples, chosen, bounds):
    """Crops have int(U(0.5, 1) · T) samples, time-outs int(U(0, 0.5) · T) unless bounds are given, all inside."""
    with pytest.MonkeyPatch.context() as patch:
        seen = spied_parts(patch)
        random_view(torch.zeros(len(chosen), 1, n_samples), np.array(chosen), *bounds)
    shortest_crop, longest_time_out = bounds or (0.5, 0.5)
    for row, (crop, _, out, _) in enumerate(chosen):
        for name, low, high, draw in (("crop", shortest_crop, 1.0, crop), ("out", 0.0, longest_time_out, out)):
            start, length = (int(part[row]) for part in seen[name])
            assert int(low * n_samples) <= length <= high * n_samples
            assert length == int((low + (high - low) * draw) * n_samples)
            assert 0 <= start <= n_samples - length


def test_random_view_draws_every_length_and_place(monkeypatch):
    """T = 32: crops of 16 to 31 samples, time-outs of 0 to 15, at the first and at the last place."""
    parts = spied_parts(monkeypatch)
    random_view(torch.zeros(4000, 1, 32), draw_views(0, 0, 4000)[:, 0])
    for name, lengths in (("crop", range(16, 32)), ("out", range(16))):
        start, length = parts[name]
        assert set(length.tolist()) == set(lengths)
        assert {0, 1} <= set((32 - length - start).tolist())
        assert {0, 1} <= set(start.tolist())


def test_random_view_is_the_same_for_all_leads():
    signal = normal(6, 1, 64)
    view = random_view(signal.expand(-1, 3, -1), draw_views(0, 0, 6)[:, 0])
    assert_close(view[:, 1], view[:, 0].numpy())
    assert_close(view[:, 2], view[:, 0].numpy())
    np.testing.assert_array_equal(view[:, 1] == 0, view[:, 0] == 0)


def test_random_view_does_not_depend_on_the_batch():
    """Alone, in another order or among others; to single precision, for a transform may group its rows."""
    signals, draws = normal(7, 2, 65), draw_views(5, 2, 7)[:, 0]
    views_of_all = random_view(signals, draws)
    order = np.array([3, 0, 6])
    assert_close(random_view(signals[order], draws[order]), views_of_all[order].numpy())
    for row in range(7):
        assert_close(random_view(signals[row : row + 1], draws[row : row + 1]), views_of_all[row : row + 1].numpy())


def test_draw_views_draws_for_two_views_what_it_always_drew():
    np.testing.assert_array_equal(draw_views(7, 3, 50), np.random.default_rng((7, 3)).random((50, 2, 4)))


def test_random_views_are_as_many_as_there_are_draws():
    signals, draws = normal(5, 2, 64), draw_views(1, 2, 5, n_views=3)
    assert draws.shape == (5, 3, 4)
    views_of_all = random_views(signals, draws)
    assert views_of_all.shape == (3, 5, 2, 64)
    for view in range(3):
        assert torch.equal(views_of_all[view], random_view(signals, draws[:, view]))
    with pytest.raises(LfbtError, match=r"^draws: .* \[5, 1, 4\] is neither .* nor numbers \[5, 2, 4\]"):
        random_views(signals, draws[:, :1])


def test_draw_views_depends_on_seed_epoch_and_record_only():
    draws = draw_views(7, 3, 50)
    assert draws.shape == (50, 2, 4)
    assert ((draws >= 0) & (draws < 1)).all()
    np.testing.assert_array_equal(draws, draw_views(7, 3, 50))
    np.testing.assert_array_equal(draws[:20], draw_views(7, 3, 20))
    for other in (draw_views(8, 3, 50), draw_views(7, 4, 50), draw_views(3, 7, 50)):
        assert not (other == draws).any()
    # No two of the 400 numbers are alike: views, records and the four choices are drawn apart.
    assert len(np.unique(draws)) == draws.size


def test_random_view_leaves_its_input_alone():
    signals = normal(3, 2, 64)
    before = signals.clone()
    random_view(signals, draw_views(0, 0, 3)[:, 0])
    assert torch.equal(signals, before)


@pytest.mark.parametrize(
    ("signals", "draws", "message"),
    [
        (normal(4, 2, 64), 0, r"draws: int of shape \[\] is neither a NumPy generator, .*, nor numbers \[4, 2, 4\]"),
        (normal(4, 2, 64), None, r"draws: NoneType of shape \[\]"),
        (normal(4, 2, 64), np.zeros((4, 2, 3)), r"draws: ndarray of shape \[4, 2, 3\]"),
        (normal(4, 2, 64), np.full((4, 2, 4), 1.0), r"draws: 1 to 1 are not all in \[0, 1\)"),
        (normal(4, 2, 64), np.full((4, 2, 4), np.nan), r"draws: nan to nan are not all in \[0, 1\)"),
        (normal(4, 2, 64), np.full((4, 2, 4), "0"), "draws: <U1 is not a type of real numbers"),
        (np.zeros((4, 2, 64), np.float32), np.random.default_rng(0), "signals: ndarray is not a tensor"),
        (None, np.random.default_rng(0), "signals: NoneType is not a tensor"),
        (normal(2, 64), np.random.default_rng(0), r"signals: shape \[2, 64\] is not \[records, leads, samples\]"),
        (normal(0, 2, 64), np.random.default_rng(0), r"signals: shape \[0, 2, 64\] is not"),
        (normal(4, 2, 64).half(), np.random.default_rng(0), "signals: torch.float16 is neither single nor double"),
    ],
)
def test_random_views_refuses_other_signals_and_draws(signals, draws, message):
    with pytest.raises(LfbtError, match=f"^{message}"):
        random_views(signals, draws)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shortest_crop": 0}, r"shortest_crop: 0 is outside \[0\.1, 1\]"),
        ({"shortest_crop": "0.5"}, "shortest_crop: '0.5' is not a number"),
        ({"longest_time_out": 1.5}, r"longest_time_out: 1\.5 is outside \[0, 0\.9\]"),
    ],
)
def test_random_views_refuses_parts_out_of_range(changes, message):
    with pytest.raises(LfbtError, match=f"^{message}"):
        random_views(normal(4, 2, 64), np.random.default_rng(0), **changes)


@given(st.integers(64, 200), unit, unit, unit)
def test_fixed_crops_are_parts_of_the_record_as_they_are(n_samples, place, out_length, out_place):
    """By hand: int(0.5 · T) samples from int(u · (T − n + 1)) on, then a time-out of at most a quarter of these."""
    signals = normal(1, 2, n_samples)
    draws = np.array([[0.9, place, out_length, out_place]])  # the first sets the length of resized crops only
    view = random_view(signals, draws, 0.5, 0.25, "fixed")
    n = n_samples // 2
    start = int(place * (n_samples - n + 1))
    expected = signals[0, :, start : start + n].clone()
    length = int(0.25 * out_length * n)
    first = int(out_place * (n - length + 1))
    expected[:, first : first + length] = 0
    assert torch.equal(view[0], expected)


def test_random_views_takes_two_kinds_of_crops():
    views_of = random_views(normal(3, 2, 64), np.random.default_rng(0), crop="fixed")
    assert views_of.shape == (2, 3, 2, 32)
    with pytest.raises(LfbtError, match="crop: 'cut' is neither resized nor fixed"):
        random_views(normal(3, 2, 64), np.random.default_rng(0), crop="cut")  # type: ignore[arg-type]
