"""Embeddings of files: what `lfbt embed FILE` does."""

from __future__ import annotations

import functools

from lfbt.errors import LfbtError
from lfbt.inference.answering import AnswerReport, AnswerSettings, answer
from lfbt.inference.embed_settings import EmbedSettings
from lfbt.inference.loading import load_encoder_model
from lfbt.inference.onnx_file import is_onnx
from lfbt.inference.prediction import embedding_columns, embedding_rows
from lfbt.inference.recordings import ServedLeads
from lfbt.utils.settings import validate

_REMEDY = "name leads that there are with --leads, or leave the columns of the others empty with --missing-leads nan"


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
    some = settings.missing_leads == "nan"
    if some and is_onnx(settings.checkpoint):
        raise LfbtError(f"missing_leads: {settings.checkpoint} computes all of its leads only; give the encoder itself")
    model = load_encoder_model(settings.checkpoint, settings.device, settings.leads)
    columns = embedding_columns(len(model.config.leads) * model.config.n_features, settings.per_piece, some)
    answers = AnswerSettings(settings.inputs, settings.out, settings.per_piece)
    rows = functools.partial(embedding_rows, per_piece=settings.per_piece, with_leads=some)
    return answer(
        answers, settings.files, model, rows, columns, ServedLeads(None) if some else ServedLeads((), _REMEDY)
    )
