"""The server: addresses that cannot be used, packages that are absent, a model loaded and served."""

import contextlib
import importlib.util
import socket
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
import uvicorn
from tests.serving.helpers import ONE, STATED, SlowModel, npy

from lfbt.errors import LfbtError
from lfbt.serving.answers import Answerer
from lfbt.serving.application import create_application
from lfbt.serving.server import bind, serve
from lfbt.serving.settings import ServeSettings


def test_bind_takes_a_free_port_of_either_family():
    for host in ("127.0.0.1", "localhost", "::1"):
        try:
            listener = bind(host, 0)
        except LfbtError:
            assert host == "::1", "IPv4 is everywhere"
            continue
        with listener, socket.create_connection(listener.getsockname()[:2], timeout=5):
            assert listener.getsockname()[1] > 0


def test_bind_refuses_a_port_in_use_and_an_unknown_host():
    with bind("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(LfbtError, match=rf"port: {port} of 127.0.0.1 cannot be used \(address already in use\)"):
            bind("127.0.0.1", port)
    with pytest.raises(LfbtError, match=r"host: 'no-such-host.invalid' is no address"):
        bind("no-such-host.invalid", 0)
    with pytest.raises(LfbtError, match=r"port: 0 of 192.0.2.1 cannot be used"):
        bind("192.0.2.1", 0)


def test_serve_says_what_to_install(monkeypatch, tmp_path):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "fastapi" else find(name))
    with pytest.raises(LfbtError) as caught:
        serve(ServeSettings(classifier=tmp_path))
    assert str(caught.value) == "serve needs fastapi, which is not installed; pip install 'lfbt[serve]'"


def test_uploads_that_have_begun_are_answered_before_the_end():
    model = SlowModel()
    with contextlib.closing(Answerer(model, ONE)) as answerer, bind("127.0.0.1", 0) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        server = uvicorn.Server(uvicorn.Config(create_application(answerer, "slow", ONE), log_config=None))
        with ThreadPoolExecutor(2) as pool:
            ended = pool.submit(server.run, sockets=[listener])
            files = {"files": ("ecg.npy", npy())}
            upload = pool.submit(httpx.post, f"{url}/predict", files=files, data=STATED, timeout=60)
            assert model.began.wait(60)
            server.should_exit = True
            model.may_go.set()
            assert upload.result().status_code == 200
            ended.result(timeout=60)
