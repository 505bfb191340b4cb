"""Estimators of scikit-learn: its own checks, and its clone, pipelines and searches on synthetic ECGs."""

import pickle
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_checks as checks
from tests.factories import KINDS, LABELS, waves, write_checkpoint

import lfbt
from lfbt.errors import LfbtError
from lfbt.inference.encoder import load_encoder
from lfbt.inference.estimators import ECGClassifier, ECGEmbedder
from lfbt.models.encoder import EncoderConfig, estimate_batch_norm, random_encoder
from lfbt.models.pretrained import save_encoder

SIGNALS, CLASSES = waves(KINDS), np.array(LABELS)
ABOUT: dict[str, Any] = {"leads": "II,V1", "sampling_rate": 6.4, "device": "cpu"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("estimators") / "encoder")


@pytest.fixture
def recordings(tmp_path):
    """The records as recordings, and as paths of files."""
    paths = [tmp_path / f"{i}.npy" for i in range(len(SIGNALS))]
    for path, signal in zip(paths, SIGNALS, strict=True):
        np.save(path, signal)
    return [lfbt.read(path, leads="II,V1", sampling_rate=6.4) for path in paths], paths


# --- scikit-learn's own checks ---

#: Compares predictions of a batch with those of its parts, to 1e-7 near zero.
BATCHES = "check_methods_subset_invariance"


class _Rows:
    """Takes rows of numbers, which the checks give: each is repeated to the 64 samples of a record of one lead."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()  # type: ignore[misc]
        tags.input_tags.two_d_array, tags.input_tags.three_d_array, tags.input_tags.string = True, False, False
        tags.no_validation = False
        return tags

    def _embed(self, encoder, x):
        rows = _validate(self, x, reset=False)
        records = np.tile(rows, (1, -(-64 // rows.shape[1])))[:, None, :64]
        return super()._embed(encoder, records)  # type: ignore[misc]


class RowEmbedder(_Rows, ECGEmbedder):
    def fit(self, X=None, y=None):  # noqa: N803
        return super().fit(_validate(self, X), y)


class RowClassifier(_Rows, ECGClassifier):
    def fit(self, X, y):  # noqa: N803
        return super().fit(*_validate(self, X, y))


def _validate(estimator, *data, **options):
    from sklearn.utils.validation import validate_data  # of scikit-learn 1.6

    return validate_data(estimator, *data, **options)


@pytest.mark.parametrize("kind", [RowEmbedder, RowClassifier])
def test_check_estimator_passes_for_rows_as_records(kind, tmp_path):
    pytest.importorskip("sklearn", minversion="1.6", reason="check_estimator with its results is of scikit-learn 1.6")
    encoder = random_encoder(EncoderConfig(("II",), 6.4, 64, "none"), seed=0)
    estimate_batch_norm(encoder, [torch.from_numpy(waves(KINDS, 1))])
    save_encoder(tmp_path, encoder, {})
    about: dict[str, Any] = ABOUT | {"leads": "II", "allow_implausible": True}
    results = checks.check_estimator(
        kind(str(tmp_path), **about), on_skip=None, expected_failed_checks={BATCHES: "rounding of single precision"}
    )
    # Arrays of other libraries are not set up here.
    assert {one["check_name"] for one in results if one["status"] != "passed"} <= {BATCHES, "check_array_api_input"}
    assert len(results) > 40


def test_classifier_gives_a_record_the_same_answer_in_any_batch(folder):
    """As `BATCHES` does, which compares logits near zero by their own size."""
    classifier = ECGClassifier(folder, **ABOUT).fit(SIGNALS, CLASSES)
    logits = classifier.decision_function(SIGNALS)
    one_by_one = np.concatenate([classifier.decision_function(SIGNALS[i : i + 1]) for i in range(len(SIGNALS))])
    np.testing.assert_allclose(one_by_one, logits, rtol=0, atol=1e-4 * np.abs(logits).max())


@pytest.mark.parametrize("kind", [ECGEmbedder, ECGClassifier])
def test_check_estimator_leaves_out_what_takes_records(kind, folder):
    """The tags say so: its checks give rows, never ``[records, leads, samples]``."""
    pytest.importorskip("sklearn", minversion="1.6", reason="tags are of scikit-learn 1.6")
    from sklearn.utils import get_tags

    tags = get_tags(kind(folder)).input_tags
    assert (tags.two_d_array, tags.three_d_array, tags.string, tags.sparse) == (False, True, True, False)
    with pytest.warns(checks.SkipTestWarning, match="Can't test estimator"):
        results = checks.check_estimator(kind(folder))
    assert {one["check_name"] for one in results} <= {"check_estimator_cloneable"}


# --- records ---


def test_embedder_equals_embed_for_arrays_recordings_and_paths(folder, recordings):
    of_recordings, paths = recordings
    expected = lfbt.embed(SIGNALS, folder, **ABOUT)
    embedder = ECGEmbedder(folder, **ABOUT).fit(SIGNALS)
    assert np.array_equal(embedder.transform(SIGNALS), expected)
    plain = ECGEmbedder(load_encoder(folder), device="cpu").fit()
    tolerance: dict[str, Any] = {"rtol": 0, "atol": 1e-5 * np.abs(expected).max()}
    np.testing.assert_allclose(plain.transform(of_recordings), expected, **tolerance)
    np.testing.assert_allclose(embedder.transform(paths), expected, **tolerance)
    np.testing.assert_allclose(embedder.transform(np.array(list(map(str, paths)))), expected, **tolerance)


def test_embedder_names_its_columns(folder):
    table = ECGEmbedder(folder, **ABOUT).set_output(transform="pandas").fit_transform(SIGNALS[:2])
    assert list(table.columns[[0, 1, 64, 127]]) == ["II_0", "II_1", "V1_0", "V1_63"]
    assert table.shape == (2, 128)


def test_embedder_converts_units(folder):
    in_mv = ECGEmbedder(folder, **ABOUT).fit_transform(SIGNALS)
    in_uv = ECGEmbedder(folder, **ABOUT, unit="uV").fit_transform(SIGNALS * 1000)
    np.testing.assert_allclose(in_uv, in_mv, rtol=0, atol=1e-4 * np.abs(in_mv).max())


def test_classifier_is_logistic_regression_of_standardised_embeddings(folder):
    classifier = ECGClassifier(folder, c=0.5, **ABOUT).fit(SIGNALS[:36], CLASSES[:36])
    x = lfbt.embed(SIGNALS, folder, **ABOUT)
    x = (x - x[:36].mean(axis=0)) / np.where(x[:36].std(axis=0) > 0, x[:36].std(axis=0), 1)
    literal = LogisticRegression(C=0.5, max_iter=10_000).fit(x[:36], CLASSES[:36])
    p = classifier.predict_proba(SIGNALS[36:])
    np.testing.assert_allclose(p, literal.predict_proba(x[36:]), rtol=0, atol=2e-3)
    assert classifier.classes_.tolist() == ["fast", "middle", "slow"]
    assert np.array_equal(classifier.predict(SIGNALS[36:]), classifier.classes_[p.argmax(axis=1)])
    assert classifier.decision_function(SIGNALS[36:]).shape == (12, 3)
    # Waves of three speeds are told apart.
    assert classifier.score(SIGNALS[36:], CLASSES[36:]) > 0.9


def test_estimators_are_cloned_with_their_encoder_unfitted(folder):
    for encoder in (str(folder), load_encoder(folder)):
        classifier = ECGClassifier(encoder, c=2.0, **ABOUT).fit(SIGNALS, CLASSES)
        other = clone(classifier)
        assert (other.c, other.leads, other.sampling_rate) == (2.0, "II,V1", 6.4)
        with pytest.raises(NotFittedError):
            other.predict(SIGNALS)
        assert np.array_equal(other.fit(SIGNALS, CLASSES).predict(SIGNALS), classifier.predict(SIGNALS))


def test_estimators_survive_a_pickle(folder):
    classifier = ECGClassifier(load_encoder(folder), **ABOUT).fit(SIGNALS, CLASSES)
    loaded = pickle.loads(pickle.dumps(classifier))  # noqa: S301
    assert np.array_equal(loaded.predict_proba(SIGNALS), classifier.predict_proba(SIGNALS))


def test_pipeline_and_grid_search_work_on_arrays_and_paths(folder, recordings):
    pipeline = Pipeline(
        [
            ("embed", ECGEmbedder(folder, **ABOUT)),
            ("scale", StandardScaler()),
            ("classify", LogisticRegression(max_iter=10_000)),
        ]
    )
    search = GridSearchCV(pipeline, {"classify__C": [0.01, 1.0]}, cv=3).fit(SIGNALS, CLASSES)
    assert search.best_score_ > 0.8
    of_paths = GridSearchCV(ECGClassifier(folder, **ABOUT), {"c": [0.01, 1.0]}, cv=3).fit(recordings[1], CLASSES)
    assert of_paths.best_params_["c"] in (0.01, 1.0)
    assert of_paths.best_score_ > 0.8
    assert of_paths.predict(recordings[1][:2]).tolist() == LABELS[:2]


def test_cross_val_score_works_on_recordings(folder, recordings):
    model = make_pipeline(ECGEmbedder(folder, device="cpu"), StandardScaler(), LogisticRegression(max_iter=10_000))
    assert cross_val_score(model, recordings[0], CLASSES, cv=3).mean() > 0.8


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (SIGNALS[0], r"^X: shape \[2, 64\] is not \[records, leads, samples\], .* give X\[None\] or \[path\]"),
        ("a.npy", r"^X: text is not \[records, leads, samples\]"),
        (3, r"^X: shape \[\] is not"),
        ([1.0, 2.0], r"^signals: shape \[2\] is not"),
        (SIGNALS[0].tolist(), r"^X: 2 items have 1 embeddings"),
        (SIGNALS[:, :, :40], r"^signals: 40 samples at 6\.4 Hz last 6\.25 s"),
        ([], r"^signals: shape \[0\] is not"),
    ],
    ids=["a record", "a text", "a number", "numbers", "a record of lists", "too short", "nothing"],
)
def test_estimators_refuse_what_is_not_records(folder, x, message):
    with pytest.raises(LfbtError, match=message):
        ECGEmbedder(folder, **ABOUT).fit().transform(x)
    with pytest.raises(LfbtError, match=message):
        ECGClassifier(folder, **ABOUT).fit(x, LABELS[: np.size(x)])


def test_estimators_refuse_wrong_settings_in_fit(folder, tmp_path):
    with pytest.raises(LfbtError, match=r"^checkpoint: .*absent is not an encoder"):
        ECGEmbedder(tmp_path / "absent").fit()
    with pytest.raises(LfbtError, match=r"^c: 0 is outside \[1e-10, 1e10\]"):
        ECGClassifier(folder, c=0, **ABOUT).fit(SIGNALS, CLASSES)
    with pytest.raises(LfbtError, match=r"^embed: an array states neither leads nor sampling rate"):
        ECGClassifier(folder).fit(SIGNALS, CLASSES)


def test_estimators_of_rich_features_name_and_weigh_their_columns(folder):
    embedder = ECGEmbedder(folder, features="rich", **ABOUT).fit()
    embeddings = embedder.transform(SIGNALS)
    assert len(embedder.get_feature_names_out()) == embeddings.shape[1] == 2 * 258
    classifier = ECGClassifier(folder, features="rich", **ABOUT).fit(SIGNALS, CLASSES)
    x = StandardScaler().fit_transform(embeddings).reshape(-1, 2, 258)
    x[..., -2:] *= 3
    model = LogisticRegression(max_iter=10_000).fit(x.reshape(-1, 516), CLASSES)
    expected = model.predict_proba(x.reshape(-1, 516))
    np.testing.assert_allclose(clone(classifier).fit(SIGNALS, CLASSES).predict_proba(SIGNALS), expected, atol=1e-3)
    copied = pickle.loads(pickle.dumps(classifier))  # noqa: S301
    np.testing.assert_allclose(copied.predict_proba(SIGNALS), expected, atol=1e-3)
