"""What the API takes and returns."""

from __future__ import annotations

from fastapi import UploadFile
from pydantic import BaseModel, ConfigDict, Field

NO_MEDICAL_DEVICE = "Not a medical device: for research only, not for diagnosis or treatment."


class RecordingForm(BaseModel):
    """One recording, and what its files do not state."""

    model_config = ConfigDict(extra="forbid")

    files: list[UploadFile] = Field(min_length=1, description="One file, or a WFDB header with its signal files.")
    leads: str = Field("", description="Lead names of .npy rows or .csv columns that are not named, such as I,II,V1.")
    sampling_rate: float | None = Field(None, description="Of .npy and .csv files that state none, in Hz.")
    unit: str = Field("mV", description="Of .npy and .csv files that state none: mV, uV, V, nV, or counts: 200/mV.")
    allow_implausible: bool = Field(False, description="Accept voltages that no ECG has.")
    per_piece: bool = Field(False, description="Also answer each piece of a long recording.")
    drawing: bool = Field(False, description="Also draw the ECG.")


class Problem(BaseModel):
    """Why there is no answer, in one line."""

    detail: str
    fields: list[str] = Field(default=[], description="The fields of the form that would have to be given or changed.")


class NeighbourOut(BaseModel):
    """A training record near the recording."""

    record: str
    labels: list[str]
    distance: float = Field(description="Root mean square difference of the standardised features.")


class RecordingOut(BaseModel):
    """What is known of a recording."""

    file: str
    record: str
    patient: str
    leads: list[str]
    leads_used: list[str] = Field(description="The leads of the encoder that the answer is from.")
    sampling_rate: float = Field(description="In Hz, as recorded.")
    seconds: float
    pieces: int = Field(description="Pieces of the encoder's duration that were pooled.")
    notes: list[str]
    neighbours: list[NeighbourOut] | None = Field(
        None, description="The nearest first; null where none are kept, or leads are absent."
    )
    drawing: str | None = Field(None, description="SVG at 25 mm/s and 10 mm/mV.")


class ClassesOut(BaseModel):
    """Probabilities, and the classes called by them."""

    probabilities: dict[str, float]
    predicted: list[str] = Field(description="The most probable of exclusive classes, else those at their thresholds.")
    above_threshold: list[str] = Field(description="Classes that reach the thresholds kept from validation.")


class PiecePrediction(ClassesOut):
    """The prediction of a piece."""

    piece: int


class Prediction(RecordingOut, ClassesOut):
    """The prediction of a recording: over the mean of its pieces' logits."""

    thresholds: dict[str, float | None]
    exclusive: bool = Field(description="Whether a recording has exactly one class.")
    of_pieces: list[PiecePrediction] | None = None


class PieceEmbedding(BaseModel):
    """The embedding of a piece."""

    piece: int
    embedding: list[float]


class Embedding(RecordingOut):
    """The embedding of a recording: the mean of its pieces'."""

    embedding: list[float] = Field(description="Leads × features: those of the first lead first.")
    encoder_leads: list[str]
    of_pieces: list[PieceEmbedding] | None = None


class Limits(BaseModel):
    """What an upload may be."""

    upload_mb: float
    upload_files: int
    recording_seconds: float
    recording_values: int


class Health(BaseModel):
    """The state of the server."""

    status: str
    version: str
    model: str = Field(description="The name of the run or the encoder.")
    classes: list[str] = Field(description="Empty for an encoder alone, which gives no predictions.")
    leads: list[str] = Field(description="Leads that are needed; missing limb leads are derived.")
    lead_subsets: list[list[str]] = Field(description="Leads that suffice for a prediction, too.")
    seconds: float = Field(description="Duration that the encoder takes.")
    admitted: int = Field(description="Uploads that arrive, wait or are worked on.")
    admitted_at_most: int
    limits: Limits
    notice: str
