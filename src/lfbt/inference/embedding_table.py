"""Embeddings of files: what `lfbt embed FILE` does."""

from __future__ import annotations

import functools
from typing import TextIO

from lfbt.inference.answering import AnswerReport, AnswerSettings, answer
from lfbt.inference.classifier import TorchModel
from lfbt.inference.embedding_folder import EmbedSettings
from lfbt.inference.prediction import embedding_columns, embedding_rows
from lfbt.inference.watching import Answering
from lfbt.models.hub import take_checkpoint
from lfbt.models.pretrained import load_encoder
from lfbt.runs.encoder_folder import encoder_folder
from lfbt.utils.device import resolve_device
from lfbt.utils.settings import validate


def embed_inputs(settings: EmbedSettings, stream: TextIO | None = None) -> AnswerReport:
    """Write the embeddings of recordings, a row a recording: the mean over their pieces.

    Parameters
    ----------
    settings
        Recordings, encoder and file.
    stream
        See `lfbt.inference.answering.answer`.

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
    checkpoint = take_checkpoint(settings.checkpoint)
    encoder = load_encoder(checkpoint)
    if settings.leads:
        encoder = encoder.select_leads(settings.leads)
    model = TorchModel(encoder.to(resolve_device(settings.device)))
    columns = embedding_columns(len(model.config.leads) * model.config.n_features, settings.per_piece)
    answers = AnswerSettings(
        settings.inputs, settings.out, settings.overwrite, settings.per_piece, watching=settings.watching
    )
    rows = functools.partial(embedding_rows, per_piece=settings.per_piece)
    return answer(answers, Answering(model, settings.files, rows, columns, encoder_folder(checkpoint)), stream)
