"""The gate by itself: which requests pass, and what becomes of the others."""

import asyncio
import dataclasses

import pytest
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse

from lfbt.serving.gate import Gate, is_loopback
from lfbt.serving.metrics import Metrics
from lfbt.serving.settings import LimitSettings

#: A thousand bytes, and two uploads at a time.
LIMITS = LimitSettings(upload_mb=0.001, queue=1, workers=1)


async def application(scope, receive, send):
    """Reads the body and says how long it is."""
    n = 0
    more = True
    while more:
        message = await receive()
        n += len(message.get("body", b""))
        more = message.get("more_body", False)
    await PlainTextResponse(f"{n} bytes")(scope, receive, send)


def new_gate(limits=LIMITS, app=application, only_local=True):
    return Gate(app, limits, Metrics(), ["/predict"], ["/predict", "/"], only_local)


async def ask(gate, path="/predict", method="POST", body=(b"",), pause=0.0, **headers):
    """Status, headers and body of a request, whose body comes in parts."""
    parts = list(body)
    sent = []

    async def receive():
        await asyncio.sleep(pause)
        if not parts:
            return {"type": "http.disconnect"}
        part = parts.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(parts)}

    async def send(message):
        sent.append(message)

    named = {"host": "127.0.0.1:8000"} | {name.replace("_", "-"): value for name, value in headers.items()}
    raw = [(name.encode(), value.encode()) for name, value in named.items()]
    scope = {"type": "http", "method": method, "path": path, "headers": raw, "query_string": b""}
    try:
        await gate(scope, receive, send)
    except HTTPException as error:
        # Those that the application tells.
        return error.status_code, {}, error.detail, parts
    start, *rest = sent
    received = {name.decode(): value.decode() for name, value in start["headers"]}
    return start["status"], received, b"".join(message.get("body", b"") for message in rest).decode(), parts


def asked(*args, **kwargs):
    return asyncio.run(ask(*args, **kwargs))


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost", "LOCALHOST:1", "[::1]:8000", "127.3.2.1"])
def test_names_of_this_machine_pass(host):
    status, headers, body, _ = asked(new_gate(), body=(b"abc",), host=host)
    assert (status, body) == (200, "3 bytes")
    assert (headers["x-content-type-options"], headers["cache-control"]) == ("nosniff", "no-store")


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "", "127.0.0.1.evil.example", "[", "10.0.0.1"])
def test_other_names_are_refused_unless_the_server_is_for_others(host):
    status, headers, body, _ = asked(new_gate(), "/", "GET", host=host)
    assert status == 421
    assert "is not this machine" in body
    assert "access-control-allow-origin" not in headers
    assert asked(new_gate(only_local=False), "/", "GET", host=host)[0] == 200


def test_pages_of_other_sites_are_refused():
    assert asked(new_gate(), origin="http://127.0.0.1:8000")[0] == 200
    for origin in ("http://evil.example", "null", "http://127.0.0.1:9000", "http://[::1", "http://127.0.0.1:8000@evil"):
        status, _, body, _ = asked(new_gate(), origin=origin)
        assert status == 403
        assert "is another site" in body


def test_uploads_are_limited_by_the_length_that_they_state():
    assert asked(new_gate(), body=(b"x" * 1000,), content_length="1000")[0] == 200
    status, _, body, left = asked(new_gate(), body=(b"x" * 500,) * 3, content_length="1500")
    assert status == 413
    assert "more than 0.001 MB" in body
    # A client that has sent everything reads the answer.
    assert left == []
    status, _, _, left = asked(new_gate(), body=(b"x" * 500,) * 3, content_length="1500", expect="100-continue")
    assert (status, len(left)) == (413, 3)


def test_uploads_are_limited_while_they_arrive():
    assert asked(new_gate(), body=(b"x" * 500,) * 2)[0] == 200
    status, _, body, left = asked(new_gate(), body=(b"x" * 500,) * 4)
    assert (status, left) == (413, [])
    assert "more than 0.001 MB" in body


def test_uploads_are_limited_in_time():
    gate = new_gate(dataclasses.replace(LIMITS, receive_seconds=0.05))
    status, _, body, _ = asked(gate, body=(b"x",) * 100, pause=0.02)
    assert (status, body) == (408, "files: did not arrive within 0.05 s")
    assert gate.admitted == 0


def test_uploads_beyond_the_queue_are_asked_to_come_again():
    async def several():
        gate = new_gate()
        return await asyncio.gather(*(ask(gate, body=(b"x",) * 3, pause=0.02) for _ in range(4))), gate

    answers, gate = asyncio.run(several())
    assert sorted(answer[0] for answer in answers) == [200, 200, 503, 503]
    for status, headers, body, left in answers:
        if status == 503:
            # Two uploads of a second each, as long as nothing is known.
            assert headers["retry-after"] == "2"
            assert "2 uploads are waiting" in body
            assert left == []
    assert gate.admitted == 0
    assert asked(gate)[0] == 200


def test_other_requests_need_no_place():
    gate = new_gate()
    gate.admitted = gate.at_most
    assert asked(gate, "/", "GET")[0] == 200
    assert asked(gate)[0] == 503


def test_a_place_is_free_again_after_an_error():
    async def failing(scope, receive, send):
        raise ZeroDivisionError

    gate = new_gate(app=failing)
    with pytest.raises(ZeroDivisionError):
        asked(gate)
    assert gate.admitted == 0


@pytest.mark.parametrize(
    ("host", "local"), [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False)]
)
def test_is_loopback(host, local):
    assert is_loopback(host) == local


async def hasty(scope, receive, send):
    """Answers after the first part."""
    await receive()
    await PlainTextResponse("no form", 400)(scope, receive, send)


def test_an_answer_before_the_end_of_the_body_is_sent_after_it():
    """A client that still sends would see a connection that is reset."""
    status, _, body, left = asked(new_gate(app=hasty), body=[b"a", b"b", b"c"])
    assert (status, body, left) == (400, "no form", [])
