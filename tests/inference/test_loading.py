"""The model that a user names."""

import numpy as np
from tests.factories import waves, write_checkpoint, write_labelled
from tests.inference.test_classifier import write_run

from lfbt.inference.classifier import TorchModel, load_classifier
from lfbt.inference.loading import load_encoder_model, load_model


def test_load_model_takes_the_folder_of_a_run(tmp_path):
    write_run(tmp_path / "run", write_labelled(tmp_path / "data"))
    model = load_model(tmp_path / "run", "cpu")
    assert isinstance(model, TorchModel)
    assert model.classes == load_classifier(tmp_path / "run", "cpu").classes


def test_load_encoder_model_has_no_classes(tmp_path):
    model = load_encoder_model(write_checkpoint(tmp_path / "encoder"), "cpu")
    assert (model.classes, model.thresholds, model.config.leads) == ((), (), ("II", "V1"))
    embeddings, logits = model.compute(waves([0, 1, 2]))
    assert (embeddings.shape, logits.shape) == ((3, 128), (3, 0))
    assert np.isfinite(embeddings).all()
