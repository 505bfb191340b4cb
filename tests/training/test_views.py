"""The views of an epoch: which records they are of, against a loop over patients, and what is done to them."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.factories import write_packed

from lfbt.data.layouts import open_dataset
from lfbt.errors import LfbtError
from lfbt.training.augmentation import draw_views, random_view, random_views
from lfbt.training.distortions import Distortions
from lfbt.training.records import TrainingRecords
from lfbt.training.settings import AugmentationSettings, DistortionSettings
from lfbt.training.views import Views, count_paired, draw_partners

PATIENTS = ["a", "b", "a", "c", "a", "b", "d", "a"]
SIGNALS = np.random.default_rng(0).laplace(0, 0.2, (8, 2, 64)).astype(np.float32)
NOISE = DistortionSettings(noise=0.5)


@pytest.fixture
def records(tmp_path):
    dataset = open_dataset(write_packed(tmp_path / "data", SIGNALS, patients=PATIENTS))
    return TrainingRecords(dataset, np.array([0, 1, 2, 4, 5, 6]), batch_size=3, seed=7)


def made(epoch_views, batch):
    return epoch_views.make(torch.from_numpy(SIGNALS[epoch_views.rows(batch)]), batch)


@given(st.lists(st.tuples(st.integers(0, 4), st.floats(0, 1, exclude_max=True)), min_size=1))
def test_draw_partners_are_other_records_of_the_patient(pairs):
    patients, numbers = np.array([p for p, _ in pairs]), np.array([number for _, number in pairs])
    for record, partner in enumerate(draw_partners(patients, numbers)):
        others = [i for i, patient in enumerate(patients) if patient == patients[record] and i != record]
        assert partner in (others or [record])


def test_draw_partners_takes_all_other_records_equally_often():
    patients, rng, counts = np.array([0, 1, 0, 0, 0]), np.random.default_rng(0), np.zeros((5, 5))
    for _ in range(3000):
        counts[range(5), draw_partners(patients, rng.random(5))] += 1
    expected = 1000 * ((patients[:, None] == patients) & ~np.eye(5, dtype=bool))
    expected[1, 1] = 3000
    np.testing.assert_allclose(counts, expected, atol=100)


@pytest.mark.parametrize("n_views", [2, 3])
def test_make_draws_all_views_of_the_record_itself(records, n_views):
    batch = np.array([4, 0, 5])
    epoch_views = Views(records, AugmentationSettings(views=n_views), NOISE).draw(3)
    assert epoch_views.rows(batch) is batch
    signals = torch.from_numpy(SIGNALS[batch])
    views = random_views(signals, draw_views(7, 3, 8, n_views)[batch])
    distortions = Distortions(NOISE, ("II", "V1"), 6.4)
    draws = {name: of[batch] for name, of in distortions.draw(7, 3, 8, n_views).items()}
    assert torch.equal(made(epoch_views, batch), distortions.apply(views, [signals] * n_views, draws))


@pytest.mark.parametrize("distortion", [DistortionSettings(), NOISE])
def test_make_draws_all_but_the_first_view_of_another_record_of_the_patient(records, distortion):
    batch = np.array([4, 0, 6, 5])
    epoch_views = Views(records, AugmentationSettings(views=3, positives="patient"), distortion).draw(3)
    own, others = np.split(epoch_views.rows(batch), 2)
    assert own.tolist() == batch.tolist()
    # Record 7 is of the same patient as 0, but is none that is learned from; 6 is alone.
    assert others[0] in (0, 2)
    assert others[1] in (2, 4)
    assert others[2:].tolist() == [6, 1]
    draws = draw_views(7, 3, 8, 3)[batch]
    sources = [torch.from_numpy(SIGNALS[rows]) for rows in (own, others, others)]
    views = torch.stack([random_view(signals, draws[:, i]) for i, signals in enumerate(sources)])
    distortions = Distortions(distortion, ("II", "V1"), 6.4)
    of_batch = {name: of[batch] for name, of in distortions.draw(7, 3, 8, 3).items()}
    assert torch.equal(made(epoch_views, batch), distortions.apply(views, sources, of_batch))


def test_draw_of_partners_follows_from_seed_and_epoch_alone(records):
    views = Views(records, AugmentationSettings(positives="patient"), DistortionSettings())
    rows = [views.draw(epoch).rows(records.rows).tolist() for epoch in (0, 1, 2, 3, 0)]
    assert rows[0] == rows[4]
    assert len(set(map(tuple, rows))) > 2


def test_count_paired_counts_records_whose_patient_has_another(records):
    assert count_paired(records) == 5


def test_views_refuse_patients_of_one_record_each(tmp_path):
    dataset = open_dataset(write_packed(tmp_path / "data", SIGNALS, patients=PATIENTS))
    records = TrainingRecords(dataset, np.array([0, 1, 3]), batch_size=3, seed=0)
    with pytest.raises(LfbtError, match=r"^positives: patient has no effect on 3 records of as many patients"):
        Views(records, AugmentationSettings(positives="patient"), DistortionSettings())
