"""The model that a user names."""

from tests.factories import write_labelled
from tests.inference.test_classifier import write_run

from lfbt.inference.classifier import TorchModel, load_classifier
from lfbt.inference.loading import load_model


def test_load_model_takes_the_folder_of_a_run(tmp_path):
    write_run(tmp_path / "run", write_labelled(tmp_path / "data"))
    model = load_model(tmp_path / "run", "cpu")
    assert isinstance(model, TorchModel)
    assert model.classes == load_classifier(tmp_path / "run", "cpu").classes
