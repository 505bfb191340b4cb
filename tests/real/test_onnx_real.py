"""A classifier of real records, exported: the answers of PyTorch, by the files and by the data set."""

import numpy as np
import pytest

from lfbt.data.layouts import open_dataset
from lfbt.data.preparation import prepare_dataset
from lfbt.data.records import PrepareSettings
from lfbt.evaluation.probing import run_probe
from lfbt.evaluation.settings import ProbeSettings
from lfbt.inference.classifier import load_classifier
from lfbt.inference.export import export
from lfbt.models.authors import load_authors_checkpoint
from lfbt.models.pretrained import save_encoder
from lfbt.recording import PAPER_LEADS, STANDARD_LEADS
from lfbt.runs.encoder_folder import BUNDLED
from lfbt.sources import PtbXl


@pytest.mark.parametrize("encoder", [BUNDLED, "published"])
def test_onnx_calls_the_classes_of_pytorch_on_held_records(shared_data, tmp_path, encoder):
    """The bundled encoder takes mV; the published weights take a z-score over the record, which is in the graph."""
    leads: tuple[str, ...] = STANDARD_LEADS
    n_samples, checkpoint = 1024, encoder
    if encoder == "published":
        leads, n_samples, checkpoint = PAPER_LEADS, 2048, tmp_path / "encoder"
        published = load_authors_checkpoint(min((shared_data / "weights").glob("*.pth"))).eval()
        save_encoder(checkpoint, published, {"method": "published"})
    settings = PrepareSettings(n_samples=n_samples, leads=leads, workers=1)
    prepare_dataset(PtbXl(), "ptbxl", shared_data / "ptbxl", tmp_path / "data", settings)
    run_probe(
        ProbeSettings.create(
            tmp_path / "data",
            tmp_path / "run",
            checkpoint=checkpoint,
            classifier="logistic",
            device="cpu",
            workers=0,
        )
    )
    exported = export(tmp_path / "run", tmp_path / "model.onnx")
    dataset = open_dataset(tmp_path / "data")
    held = [dataset.ids[row] for row in dataset.rows("test")]
    assert len(held) > 40
    by_torch, by_onnx = (load_classifier(tmp_path / name, "cpu") for name in ("run", "model.onnx"))
    columns = [f"p_{name}" for name in exported.classes]
    files = sorted((shared_data / "ptbxl" / "records500").rglob("*.hea"))[:60]
    for x in (dataset, files):
        expected, found = by_torch.predict(x), by_onnx.predict(x)
        if x is dataset:
            expected, found = (table[table["record"].isin(held)] for table in (expected, found))
            assert len(found) == len(held)
        np.testing.assert_allclose(found[columns], expected[columns], rtol=0, atol=1e-5)
        for column in ("record", "predicted", "above_threshold", "error"):
            assert found[column].tolist() == expected[column].tolist()
