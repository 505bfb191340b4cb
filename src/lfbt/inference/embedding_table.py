"""Embeddings of files: what `lfbt embed FILE` does."""

from __future__ import annotations

import functools

from lfbt.inference.answering import AnswerReport, AnswerSettings, answer
from lfbt.inference.embed_settings import EmbedSettings
from lfbt.inference.loading import load_encoder_model
from lfbt.inference.prediction import embedding_columns, embedding_rows
from lfbt.utils.settings import validate


def embed_inputs(settings: EmbedSettings) -> AnswerReport:
    """Write the embeddings of recordings, a row a recording: the mean over their pieces.

    Parameters
    ----------
    settings
        Recordings, encoder and file.

    Returns
    -------
    AnswerReport
        How many there are.

    Raises
    ------
    LfbtError
        As `lfbt.inference.answering.write_predictions`.
    """
    validate(settings)
    model = load_encoder_model(settings.checkpoint, settings.device, settings.leads)
    columns = embedding_columns(len(model.config.leads) * model.config.n_features, settings.per_piece)
    answers = AnswerSettings(settings.inputs, settings.out, settings.per_piece)
    return answer(
        answers, settings.files, model, functools.partial(embedding_rows, per_piece=settings.per_piece), columns
    )
