"""Answers to uploads: the same as those of `lfbt predict`, and no file left."""

import contextlib
import io
import tempfile
import time

import numpy as np
import pytest
from tests.factories import write_labelled
from tests.inference.test_classifier import write_run
from tests.inference.test_prediction import MeanModel, SubsetModel
from tests.serving.helpers import ONE, npy, signal

from lfbt.errors import LfbtError
from lfbt.inference.answering import AnswerSettings, PredictSettings, write_predictions
from lfbt.inference.loading import load_model
from lfbt.inference.recordings import FileSettings
from lfbt.serving.answers import Answerer, BusyError, Question, fields_named
from lfbt.serving.neighbours import TrainingRecords, kept_by_run
from lfbt.serving.uploads import Upload

FILES = FileSettings(file_leads="II,V1", file_sampling_rate=6.4)


def question(content=None, files=FILES, seconds=60.0, **changes):
    uploads = [Upload("ecg.npy", io.BytesIO(npy() if content is None else content))]
    return Question(
        uploads, files, **({"per_piece": False, "drawing": False} | changes), until=time.monotonic() + seconds
    )


@pytest.fixture(scope="module")
def answerer():
    with contextlib.closing(Answerer(MeanModel(thresholds=(0.1, None)), ONE)) as answerer:
        yield answerer


def test_predict_answers_as_the_command_does(tmp_path):
    run = write_run(tmp_path / "run", write_labelled(tmp_path / "data"))
    # 25 s: two pieces and a half.
    np.save(tmp_path / "ecg.npy", signal(160))
    answers = AnswerSettings(inputs=(tmp_path / "ecg.npy",), per_piece=True)
    row, *pieces = write_predictions(PredictSettings(answers, run, FILES, "cpu")).rows
    model = load_model(run, "cpu")
    with contextlib.closing(Answerer(model, ONE, kept_by_run(run, model))) as answerer:
        found = answerer.predict(question(npy(signal(160)), per_piece=True))
    assert len(pieces) == 3
    assert found.of_pieces is not None
    assert found.neighbours is not None
    for one, expected in [(found, row), *zip(found.of_pieces, pieces, strict=True)]:
        assert {f"p_{name}": p for name, p in one.probabilities.items()} == {
            name: value for name, value in expected.items() if name.startswith("p_")
        }
        assert ";".join(one.predicted) == expected["predicted"]
        assert ";".join(one.above_threshold) == expected["above_threshold"]
    assert (found.file, found.record, found.patient, found.pieces) == ("ecg.npy", "ecg", "", 3)
    assert "; ".join(found.notes) == row["notes"]
    assert found.thresholds == dict(zip(model.classes, model.thresholds, strict=True))
    assert (found.exclusive, found.leads, found.sampling_rate, found.seconds) == (True, ["II", "V1"], 6.4, 25)
    assert len(found.neighbours) == 5
    assert found.drawing is None


def test_embed_gives_the_mean_and_each_piece(answerer):
    found = answerer.embed(question(npy(signal(128)), per_piece=True))
    assert found.of_pieces is not None
    assert found.encoder_leads == ["II", "V1"]
    assert (len(found.embedding), len(found.of_pieces), found.neighbours) == (128, 2, None)
    np.testing.assert_allclose(found.embedding, np.mean([one.embedding for one in found.of_pieces], axis=0), atol=1e-6)


def test_predict_answers_from_subsets_with_their_thresholds_and_embed_does_not():
    records = TrainingRecords(("a",), ((),), np.ones((1, 128), np.float32))
    one_lead = question(npy(signal(n_leads=1)), FileSettings("II", 6.4))
    with contextlib.closing(Answerer(SubsetModel(), ONE, records)) as answerer:
        found = answerer.predict(one_lead)
        whole = answerer.predict(question())
        with pytest.raises(LfbtError, match=r"^absent lead V1 \(the recording has II\); the encoder takes II,V1$"):
            answerer.embed(question(npy(signal(n_leads=1)), FileSettings("II", 6.4)))
    assert (found.leads, found.leads_used, found.neighbours) == (["II"], ["II"], None)
    assert found.notes == ["absent lead V1: answered from II"]
    assert (found.thresholds, whole.thresholds) == ({"A": 0.0, "B": None}, {"A": 0.1, "B": 0.2})
    assert found.above_threshold == ["A"]
    assert whole.leads_used == ["II", "V1"]
    assert whole.neighbours is not None


def test_predict_draws_where_it_is_asked(answerer):
    assert answerer.predict(question(drawing=True)).drawing.startswith("<svg ")


@pytest.mark.parametrize(
    ("content", "files", "message", "fields"),
    [
        (b"no array", FILES, "file ecg.npy: cannot be read", []),
        (None, FileSettings(), "sampling_rate: none given, but ecg.npy does not state", ["sampling_rate"]),
        (None, FileSettings(file_sampling_rate=6.4), "leads: none given, but ecg.npy", ["leads"]),
        (None, FileSettings("II,II", 6.4), "leads: II is named twice", ["leads"]),
        (None, FileSettings("II,V1", 6.4, "inch"), "unit: 'inch' is not a voltage", ["unit"]),
        (None, FileSettings("II,V1", float("inf")), "sampling_rate: inf Hz is none of an ECG", ["sampling_rate"]),
        (npy(1000 * signal()), FILES, "implausible", ["unit", "allow_implausible"]),
        (npy(0 * signal()), FILES, "flat", []),
    ],
)
def test_predict_refuses_in_the_words_of_the_form(answerer, content, files, message, fields):
    with pytest.raises(LfbtError) as caught:
        answerer.predict(question(content, files))
    assert message in str(caught.value)
    assert "file_" not in str(caught.value)
    assert tempfile.gettempdir() not in str(caught.value)
    assert fields_named(str(caught.value)) == fields


def test_no_file_is_left(answerer, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    answerer.predict(question())
    with pytest.raises(LfbtError):
        answerer.predict(question(b"no array"))
    assert not list(tmp_path.iterdir())


def test_what_has_waited_too_long_is_not_begun(answerer):
    with pytest.raises(BusyError):
        answerer.predict(question(seconds=-1))
