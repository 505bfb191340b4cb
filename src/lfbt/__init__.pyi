from .data.layouts import open_dataset as open_dataset
from .data.preparation import prepare as prepare
from .errors import FinishedError as FinishedError
from .errors import LfbtError as LfbtError
from .errors import UnreadableError as UnreadableError
from .evaluation.fine_tuning import finetune as finetune
from .evaluation.probing import probe as probe
from .inference.classifier import Classifier as Classifier
from .inference.classifier import load_classifier as load_classifier
from .inference.classifier import predict as predict
from .inference.embedding import embed as embed
from .inference.encoder import Encoder as Encoder
from .inference.encoder import load_encoder as load_encoder
from .inference.estimators import ECGClassifier as ECGClassifier
from .inference.estimators import ECGEmbedder as ECGEmbedder
from .inference.export import export as export
from .io import read as read
from .losses.lfbt import LFBTLoss as LFBTLoss
from .recording import Recording as Recording
from .reports.comparison import compare as compare
from .runs.loading import load_run as load_run
from .training.augmentation import random_views as random_views
from .training.pretraining import pretrain as pretrain
from .utils.interrupts import StoppedError as StoppedError

__version__: str

__all__ = [
    "Classifier",
    "ECGClassifier",
    "ECGEmbedder",
    "Encoder",
    "FinishedError",
    "LFBTLoss",
    "LfbtError",
    "Recording",
    "StoppedError",
    "UnreadableError",
    "compare",
    "embed",
    "export",
    "finetune",
    "load_classifier",
    "load_encoder",
    "load_run",
    "open_dataset",
    "predict",
    "prepare",
    "pretrain",
    "probe",
    "random_views",
    "read",
]
