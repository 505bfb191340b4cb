"""What stands before the application: who may ask, how much may arrive, and how many uploads there may be at a time."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import math
from collections.abc import Collection
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from lfbt.serving.metrics import Metrics
from lfbt.serving.settings import LimitSettings

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_MB = 1_000_000
_FORM = "multipart/form-data"
# A client that is refused reads why only after it has sent what it had to send: so much of it is taken and dropped.
_DROPPED_BYTES, _DROPPED_SECONDS = 64 * _MB, 10.0
# A client that is asked to come again waits so long at most, in seconds.
_LONGEST_RETRY = 30

_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine only.

    >>> is_loopback("127.0.0.1"), is_loopback("::1"), is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, True, True, False)
    """
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    return host == "localhost"


class Gate:
    """Middleware that refuses what the application need not see, and counts its responses.

    Parameters
    ----------
    app
        The application.
    limits
        Of uploads.
    metrics
        Where responses are counted.
    uploads
        The paths to which recordings are sent.
    paths
        All paths, by which responses are counted.
    only_local
        Whether to answer requests to a name of this machine only. A page of another site could otherwise have its
        own name lead here, and read the answers.
    """

    def __init__(
        self,
        app: ASGIApp,
        limits: LimitSettings,
        metrics: Metrics,
        uploads: Collection[str],
        paths: Collection[str],
        only_local: bool,
    ) -> None:
        self._app, self._limits, self._metrics = app, limits, metrics
        self._uploads, self._paths, self._only_local = uploads, paths, only_local
        self.admitted = 0

    @property
    def at_most(self) -> int:
        """How many uploads there may be at a time."""
        return self._limits.queue + self._limits.workers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on a request, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"] if scope["path"] in self._paths else "other"
        is_head = scope["method"] == "HEAD"
        if is_head:
            # Answered as GET is, without the body.
            scope = {**scope, "method": "GET"}

        async def counting(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._metrics.count_response(path, message["status"])
                message = {**message, "headers": [*message.get("headers", ()), *_HEADERS]}
            elif is_head:
                message = {**message, "body": b""}
            await send(message)

        headers = Headers(scope=scope)
        refusal = self._refusal(headers)
        if refusal is not None:
            await refuse(refusal, scope, receive, counting)
        elif scope["method"] == "POST" and path in self._uploads:
            await self._admit(headers, scope, receive, counting)
        else:
            await self._app(scope, receive, counting)

    def _refusal(self, headers: Headers) -> HTTPException | None:
        """Why a request is refused by its headers; None if it is not."""
        host = headers.get("host", "")
        if self._only_local and not is_loopback(_host_name(host)):
            return HTTPException(421, f"host: {host!r} is not this machine; ask for 127.0.0.1 or localhost")
        origin = headers.get("origin")
        if origin is not None and _host_and_port(origin) != host:
            return HTTPException(403, f"origin: {origin!r} is another site; its pages may not use this server")
        return None

    async def _admit(self, headers: Headers, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on an upload where there is room for it, and it is no larger than allowed."""
        most = round(self._limits.upload_mb * _MB)
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length) > most:
            await refuse(self._too_large(), scope, receive, send)
        elif headers.get("content-type", _FORM).partition(";")[0].strip().lower() != _FORM:
            refusal = HTTPException(422, f"files: send {_FORM}, with files in its field files: curl -F files=@ecg.scp")
            await refuse(refusal, scope, receive, send)
        elif self.admitted >= self.at_most:
            await refuse(self.busy(), scope, receive, send)
        else:
            self.admitted += 1
            try:
                await self._app(scope, *self._limited(receive, send, most))
            finally:
                self.admitted -= 1

    def _limited(self, receive: Receive, send: Send, most: int) -> tuple[Receive, Send]:
        """Receive no more than `most` bytes, and not for ever; and send no answer before a client can read it."""
        until = asyncio.get_running_loop().time() + self._limits.receive_seconds
        seen = 0
        is_complete = False

        async def noted() -> Message:
            nonlocal is_complete
            message = await receive()
            is_complete = not message.get("more_body", False)
            return message

        async def limited() -> Message:
            nonlocal seen, is_complete
            # What comes after the body is that the client has gone, perhaps much later.
            if is_complete:
                return await receive()
            try:
                async with asyncio.timeout_at(until):
                    message = await noted()
            except TimeoutError:
                # Nothing more is waited for.
                is_complete = True
                seconds = self._limits.receive_seconds
                raise HTTPException(408, f"files: did not arrive within {seconds:g} s") from None
            seen += len(message.get("body", b""))
            if seen > most:
                await _drop(noted, message)
                raise self._too_large()
            return message

        async def after_the_body(message: Message) -> None:
            if not is_complete:
                await _drop(noted, {"more_body": True})
            await send(message)

        return limited, after_the_body

    def _too_large(self) -> HTTPException:
        return HTTPException(413, f"files: more than {self._limits.upload_mb:g} MB, which is all the server takes")

    def busy(self) -> HTTPException:
        """Return the response that asks to come again, when those before have had their turn."""
        seconds = math.ceil(self.admitted * self._metrics.seconds_per_answer / self._limits.workers)
        again = min(max(seconds, 1), _LONGEST_RETRY)
        message = f"busy: {self.admitted} uploads are waiting; come again in {again} s"
        return HTTPException(503, message, {"Retry-After": str(again)})


def _host_name(host: str) -> str:
    """The name in a Host header, without the port."""
    with contextlib.suppress(ValueError):
        return urlsplit(f"//{host}").hostname or ""
    return ""


def _host_and_port(origin: str) -> str | None:
    """The host of an Origin header, with the port where it is given; None of what is no address."""
    with contextlib.suppress(ValueError):
        return urlsplit(origin).netloc
    return None


async def refuse(problem: HTTPException, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer without the application."""
    # A client that asks first, by Expect, sends nothing once it is refused.
    if Headers(scope=scope).get("expect", "").lower() != "100-continue":
        await _drop(receive, {"more_body": scope["method"] == "POST"})
    response = JSONResponse({"detail": problem.detail, "fields": []}, problem.status_code, problem.headers)
    await response(scope, receive, send)


async def _drop(receive: Receive, message: Message) -> None:
    """Take what a client still sends, up to a limit, and forget it."""
    seen = 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_DROPPED_SECONDS):
            while message.get("more_body", False) and seen < _DROPPED_BYTES:
                message = await receive()
                seen += len(message.get("body", b""))
