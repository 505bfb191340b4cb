"""The server: addresses that cannot be used, packages that are absent, a model loaded and served."""

import importlib.util
import socket

import pytest

from lfbt.errors import LfbtError
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
