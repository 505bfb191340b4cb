"""Embeddings of files: what `lfbt embed FILE` does."""

from __future__ import annotations

import functools
from typing import TextIO

from lfbt.errors import LfbtError
from lfbt.inference.answering import AnswerReport, AnswerSettings, answer, check_answers
from lfbt.inference.embed_settings import EmbedSettings
from lfbt.inference.loading import load_encoder_model
from lfbt.inference.onnx_file import is_onnx
from lfbt.inference.prediction import embedding_columns, embedding_rows
from lfbt.inference.recordings import ServedLeads
from lfbt.inference.watching import Answering
from lfbt.models.feature_maps import feature_map
from lfbt.models.hub import take_checkpoint
from lfbt.runs.encoder_folder import encoder_folder
from lfbt.utils.settings import validate

_EMPTY = "leave the columns of the others empty with --missing-leads nan"
_REMEDY = f"name leads that there are with --leads, or {_EMPTY}"
# Of an ONNX file whose graph computes all leads only.
_REMEDY_ALL_LEADS = "give the run or the encoder that it was exported from, which takes --leads and --missing-leads nan"


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
    if settings.precision != "fp32":
        raise LfbtError(
            f"precision: {settings.precision} has an effect on data_dir only; leave it out for inputs, or name data "
            "sets by data_dir"
        )
    answers = AnswerSettings(
        settings.inputs, settings.out, settings.overwrite, settings.per_piece, watching=settings.watching
    )
    check_answers(answers)
    checkpoint = take_checkpoint(settings.checkpoint)
    some = settings.missing_leads == "nan"
    model = load_encoder_model(checkpoint, settings.device, settings.leads, feature_map(settings.features))
    remedy = _REMEDY
    if is_onnx(checkpoint):
        # Its leads are fixed. Absent ones are in the graph of a classifier that was trained with lead dropout only.
        remedy = _EMPTY if model.subsets else _REMEDY_ALL_LEADS
        if some and not model.subsets:
            raise LfbtError(
                f"missing_leads: {checkpoint} computes all of its leads only, as it has no classifier that was trained "
                f"with leads_dropout; {_REMEDY_ALL_LEADS}"
            )
    columns = embedding_columns(len(model.config.leads) * model.features_per_lead, settings.per_piece, some)
    rows = functools.partial(embedding_rows, per_piece=settings.per_piece, with_leads=some)
    served = ServedLeads(None) if some else ServedLeads((), remedy)
    weights = checkpoint if is_onnx(checkpoint) else encoder_folder(checkpoint)
    return answer(answers, Answering(model, settings.files, rows, columns, weights, served), stream)
