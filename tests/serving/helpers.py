"""A small model behind the API, and recordings to send."""

import contextlib
import io
import threading

import numpy as np
from fastapi.testclient import TestClient
from tests.inference.test_prediction import MeanModel
from tests.published_files import write_wfdb

from lfbt.recording import STANDARD_LEADS
from lfbt.serving.answers import Answerer
from lfbt.serving.application import create_application
from lfbt.serving.settings import LimitSettings

#: One process is enough for most tests.
ONE = LimitSettings(workers=1)


def signal(n=64, n_leads=2, seed=0):
    """Recordings of ten seconds at n/10 Hz, in mV."""
    return np.random.default_rng(seed).laplace(0, 0.2, (n_leads, n)).astype(np.float32)


def npy(array=None):
    file = io.BytesIO()
    np.save(file, signal() if array is None else array)
    return file.getvalue()


def wfdb(folder, leads=STANDARD_LEADS, n=5000, seed=0):
    """A 12-lead record of ten seconds at 500 Hz, noise of 0.3 mV: name and bytes of its two files."""
    steps = np.random.default_rng(seed).laplace(0, 200, (len(leads), n)).astype(np.int16)
    write_wfdb(folder, "ecg", steps, leads=leads)
    return [(f"ecg.{suffix}", (folder / f"ecg.{suffix}").read_bytes()) for suffix in ("hea", "dat")]


#: What an .npy file of two leads does not state.
STATED = {"leads": "II,V1", "sampling_rate": "6.4"}


def post(client, files, path="/predict", **fields):
    """Send files, pairs of a name and bytes."""
    return client.post(path, files=[("files", file) for file in files], data=fields)


class SlowModel(MeanModel):
    """Waits until it may go on; the first call is that of the start."""

    def __init__(self):
        super().__init__()
        self.may_go = threading.Event()
        self.began = threading.Event()

    def compute(self, signals):
        if self.batches:
            self.began.set()
            assert self.may_go.wait(60)
        return super().compute(signals)


@contextlib.contextmanager
def serving(model=None, limits=ONE, neighbours=None, **changes):
    """A client of the application, on this machine."""
    with contextlib.closing(Answerer(model or MeanModel(), limits, neighbours)) as answerer:
        app = create_application(answerer, "small", limits, **changes)
        with TestClient(app, base_url="http://localhost", raise_server_exceptions=True) as client:
            yield client
