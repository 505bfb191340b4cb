"""Real recordings over HTTP: the same embeddings as from Python, and drawings of them."""

import contextlib
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from tests.serving.helpers import ONE

import lfbt
from lfbt.inference.loading import load_encoder_model
from lfbt.runs.encoder_folder import BUNDLED
from lfbt.serving.answers import Answerer
from lfbt.serving.application import create_application

#: Files of one recording each, of five formats.
FILES = [
    ("ptbxl/records500/00000/00001_hr.hea", "ptbxl/records500/00000/00001_hr.dat"),
    ("formats/dicom_example.dcm",),
    ("formats/scp_example.scp",),
    ("formats/aecg_example.xml",),
    ("cpsc2018/A1980.mat",),
]


@pytest.fixture(scope="module")
def client():
    with contextlib.closing(Answerer(load_encoder_model(Path(BUNDLED), "cpu"), ONE)) as answerer:
        yield TestClient(create_application(answerer, "lfbt-small", ONE), base_url="http://localhost")


@pytest.mark.parametrize("files", FILES, ids=lambda files: files[0].rpartition("/")[2])
def test_embed_gives_what_python_gives(shared_data, client, files):
    paths = [shared_data / file for file in files]
    sent = [("files", (path.name, path.read_bytes())) for path in paths]
    response = client.post("/embed", files=sent, data={"drawing": "true", "per_piece": "true"})
    assert response.status_code == 200, response.text
    answer = response.json()
    # lfbt.embed takes the first piece of a longer recording.
    expected = lfbt.embed(paths[0], "lfbt-small", device="cpu")[0]
    np.testing.assert_allclose(answer["of_pieces"][0]["embedding"], expected, atol=1e-5)
    assert answer["drawing"].count('class="lead"') == 13
