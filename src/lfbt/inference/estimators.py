"""Estimators of scikit-learn: embeddings as a transformer, and a classifier on a frozen encoder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils.validation import check_is_fitted

from lfbt.data.dataset import Dataset
from lfbt.errors import LfbtError
from lfbt.inference.embedding import embed
from lfbt.inference.encoder import load_encoder
from lfbt.models.encoder import LeadEncoders
from lfbt.models.feature_maps import FeatureName, feature_map
from lfbt.utils.settings import check_range


class _ECGEstimator(BaseEstimator):  # type: ignore[misc]
    """What both estimators share: ECGs in, each of one embedding."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.input_tags.string = True
        tags.no_validation = True  # of the number of features: rows are ECGs
        return tags

    def _load(self) -> LeadEncoders:
        encoder: str | Path | LeadEncoders = self.encoder
        return encoder if isinstance(encoder, LeadEncoders) else load_encoder(encoder)

    def _embed(self, encoder: LeadEncoders, x: Any) -> NDArray[np.float32]:
        """The embeddings ``[records, leads × features]``, one an item of `x`. Raises LfbtError for anything else."""
        # An array of object or text, as scikit-learn makes of lists of paths.
        if isinstance(x, np.ndarray) and x.dtype.kind in "OUT":
            x = x.tolist()
        if not isinstance(x, (list, tuple, Dataset)) and np.ndim(x) != 3:
            form = "text" if isinstance(x, (str, Path)) else f"shape {list(np.shape(x))}"
            raise LfbtError(
                f"X: {form} is not [records, leads, samples], or a list of recordings or paths; of one record "
                "give X[None] or [path]"
            )
        embeddings = embed(
            x,
            encoder,
            leads=self.leads,
            sampling_rate=self.sampling_rate,
            unit=self.unit,
            allow_implausible=self.allow_implausible,
            features=self.features,
            device=self.device,
        )
        if len(embeddings) != len(x):
            raise LfbtError(f"X: {len(x)} items have {len(embeddings)} embeddings; give [records, leads, samples]")
        return embeddings


class ECGEmbedder(TransformerMixin, _ECGEstimator):  # type: ignore[misc]
    """Embeddings of ECGs by a pretrained encoder, as a transformer of scikit-learn. Nothing is fitted.

    `X` is an array ``[records, leads, samples]``, or a list of `lfbt.Recording` or of paths of files. Signals are made
    to fit the encoder as by `lfbt.embed`.

    Parameters
    ----------
    encoder : str, Path or Encoder
        From `lfbt.load_encoder`, or what that takes.
    leads : str or sequence of str, optional
        Names of the rows of a record, of arrays and of files that do not state them.
    sampling_rate : float, optional
        Of arrays, and of files that do not state it, in Hz.
    unit : str, optional
        Of arrays, and of files that do not state it; mV by default.
    allow_implausible : bool
        Accept voltages that no ECG has.
    features : {"paper", "rich"}
        As of `lfbt.embed`.
    device : str
        ``auto``, ``cpu`` or ``cuda``.

    Attributes
    ----------
    encoder_ : LeadEncoders
        The encoder that was loaded.

    Examples
    --------
    >>> from lfbt.models.encoder import EncoderConfig, random_encoder
    >>> encoder = random_encoder(EncoderConfig(("II", "V1"), sampling_rate=100, n_samples=1000), seed=0)
    >>> signals = np.random.default_rng(0).standard_normal((3, 2, 5000))
    >>> ECGEmbedder(encoder, leads="II,V1", sampling_rate=500, device="cpu").fit_transform(signals).shape
    (3, 128)
    """

    def __init__(
        self,
        encoder: str | Path | LeadEncoders = "lfbt-small",
        *,
        leads: str | Sequence[str] | None = None,
        sampling_rate: float | None = None,
        unit: str | None = None,
        allow_implausible: bool = False,
        features: FeatureName = "paper",
        device: str = "auto",
    ) -> None:
        self.encoder = encoder
        self.leads = leads
        self.sampling_rate = sampling_rate
        self.unit = unit
        self.allow_implausible = allow_implausible
        self.features = features
        self.device = device

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    def fit(self, X: Any = None, y: Any = None) -> Self:  # noqa: ARG002, N803
        """Load the encoder. Raises LfbtError as `lfbt.load_encoder` does."""
        self.encoder_ = self._load()
        return self

    def transform(self, X: Any) -> NDArray[np.float32]:  # noqa: N803
        """Compute embeddings ``[records, leads × features]``. Raises LfbtError as `lfbt.embed` does."""
        check_is_fitted(self, "encoder_")
        return self._embed(self.encoder_, X)

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:  # noqa: ARG002
        """Name the columns: the lead, and the number of its feature."""
        check_is_fitted(self, "encoder_")
        config = self.encoder_.config
        n_features = config.columns_per_lead(feature_map(self.features))
        names = [f"{lead}_{i}" for lead in config.leads for i in range(n_features)]
        return np.array(names, dtype=object)


class ECGClassifier(ClassifierMixin, _ECGEstimator):  # type: ignore[misc]
    """Logistic regression on the standardised embeddings of a frozen encoder, as a classifier of scikit-learn.

    `X` is as of `ECGEmbedder`; `y` has one class a record. Every fit computes the embeddings. To try many settings,
    compute them once: `ECGEmbedder` in front of `LogisticRegression`.

    Parameters
    ----------
    encoder : str, Path or Encoder
        From `lfbt.load_encoder`, or what that takes.
    c : float
        Inverse strength of the regularisation.
    leads, sampling_rate, unit, allow_implausible, features, device
        As of `ECGEmbedder`.

    Attributes
    ----------
    classes_ : ndarray
        The classes, in the order of the columns of `predict_proba`.
    encoder_ : LeadEncoders
        The encoder that was loaded.
    model_ : Pipeline
        The scaler and the logistic regression.

    Examples
    --------
    >>> from lfbt.models.encoder import EncoderConfig, random_encoder
    >>> encoder = random_encoder(EncoderConfig(("II", "V1"), sampling_rate=100, n_samples=1000), seed=0)
    >>> signals = np.random.default_rng(0).standard_normal((4, 2, 5000))
    >>> classifier = ECGClassifier(encoder, leads="II,V1", sampling_rate=500, device="cpu")
    >>> classifier.fit(signals, ["AFIB", "SR", "SR", "AFIB"]).predict_proba(signals).shape
    (4, 2)
    """

    def __init__(
        self,
        encoder: str | Path | LeadEncoders = "lfbt-small",
        *,
        c: float = 1.0,
        leads: str | Sequence[str] | None = None,
        sampling_rate: float | None = None,
        unit: str | None = None,
        allow_implausible: bool = False,
        features: FeatureName = "paper",
        device: str = "auto",
    ) -> None:
        self.encoder = encoder
        self.c = c
        self.leads = leads
        self.sampling_rate = sampling_rate
        self.unit = unit
        self.allow_implausible = allow_implausible
        self.features = features
        self.device = device

    def fit(self, X: Any, y: Any) -> Self:  # noqa: N803
        """Fit the classifier. Raises LfbtError as `lfbt.embed` does, and scikit-learn's ValueError for `y`."""
        check_range("c", self.c, "[1e-10, 1e10]")
        encoder = self._load()
        embeddings = self._embed(encoder, X)
        weighted = FunctionTransformer(_weigh, kw_args={"n_leads": len(encoder.config.leads), "name": self.features})
        steps = [StandardScaler(), *([weighted] if feature_map(self.features).amplitudes else [])]
        model = make_pipeline(*steps, LogisticRegression(C=self.c, max_iter=10_000))
        self.model_ = model.fit(embeddings, y)
        self.encoder_ = encoder
        self.classes_ = self.model_.classes_
        return self

    def predict(self, X: Any) -> NDArray[Any]:  # noqa: N803
        """Predict the class of each record ``[records]``."""
        check_is_fitted(self, "model_")
        return np.asarray(self.model_.predict(self._embed(self.encoder_, X)))

    def predict_proba(self, X: Any) -> NDArray[np.floating[Any]]:  # noqa: N803
        """Predict the probability of each class ``[records, classes]``."""
        check_is_fitted(self, "model_")
        return np.asarray(self.model_.predict_proba(self._embed(self.encoder_, X)))

    def decision_function(self, X: Any) -> NDArray[np.floating[Any]]:  # noqa: N803
        """Compute the logits ``[records, classes]``; of two classes that of the second, ``[records]``."""
        check_is_fitted(self, "model_")
        return np.asarray(self.model_.decision_function(self._embed(self.encoder_, X)))


def _weigh(embeddings: NDArray[np.floating[Any]], n_leads: int, name: FeatureName) -> NDArray[np.floating[Any]]:
    """Standardised embeddings ``[records, leads × features]`` with their amplitudes weighted."""
    return embeddings * feature_map(name).weights(n_leads, embeddings.shape[1])
