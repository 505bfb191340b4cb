"""The model that a user names."""

import numpy as np
import pytest
from tests.factories import waves, write_checkpoint, write_labelled
from tests.inference.test_classifier import write_run

from lfbt.errors import LfbtError
from lfbt.inference.classifier import load_classifier
from lfbt.inference.export import export
from lfbt.inference.loading import load_encoder_model, load_model
from lfbt.inference.onnx_model import OnnxModel
from lfbt.inference.torch_model import TorchModel


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


def test_load_model_takes_an_onnx_file_of_a_classifier(tmp_path):
    write_run(tmp_path / "run", write_labelled(tmp_path / "data"))
    export(tmp_path / "run", tmp_path / "model.onnx")
    model, expected = load_model(tmp_path / "model.onnx"), load_model(tmp_path / "run", "cpu")
    assert isinstance(model, OnnxModel)
    assert (model.classes, model.thresholds, model.exclusive) == (
        expected.classes,
        expected.thresholds,
        expected.exclusive,
    )


def test_load_encoder_model_takes_encoders_and_onnx_files(tmp_path):
    checkpoint = write_checkpoint(tmp_path / "checkpoint")
    export(checkpoint, tmp_path / "encoder.onnx")
    model = load_encoder_model(tmp_path / "encoder.onnx")
    assert isinstance(model, OnnxModel)
    assert isinstance(load_encoder_model(checkpoint, "cpu"), TorchModel)
    assert load_encoder_model(checkpoint, "cpu", ("V1",)).compute(waves([1])[:, 1:])[0].shape == (1, 64)
    assert np.isfinite(model.compute(waves([1]))[0]).all()
    with pytest.raises(LfbtError, match=r"^leads: those of .*encoder.onnx are fixed; leave --leads out"):
        load_encoder_model(tmp_path / "encoder.onnx", leads=("V1",))
    with pytest.raises(LfbtError, match=r"^classifier: .* is an encoder without classes"):
        load_model(tmp_path / "encoder.onnx")
