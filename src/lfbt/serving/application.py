"""The application: its paths, what they return, and how errors are told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from fastapi import FastAPI, Form, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse
from starlette.exceptions import HTTPException

import lfbt
from lfbt.errors import LfbtError
from lfbt.inference.recordings import FileSettings
from lfbt.serving.answers import Answerer, BusyError, Question, fields_named
from lfbt.serving.gate import Gate
from lfbt.serving.metrics import CONTENT_TYPE, resident_bytes
from lfbt.serving.page import load_page
from lfbt.serving.reading import TooLargeError
from lfbt.serving.schemas import (
    NO_MEDICAL_DEVICE,
    Embedding,
    Health,
    Limits,
    Prediction,
    Problem,
    RecordingForm,
)
from lfbt.serving.settings import LimitSettings
from lfbt.serving.uploads import Upload

_PREDICT, _EMBED, _HEALTH, _METRICS, _PAGE = "/predict", "/embed", "/health", "/metrics", "/"
_OPENAPI = "/openapi.json"

_REASONS = {
    400: "The request is no form.",
    403: "A page of another site asks.",
    408: "The files did not arrive in time.",
    413: "The files or the recording are larger than the limits.",
    421: "The request is to another host.",
    422: "The recording cannot be answered, or a field is missing or wrong.",
    503: "Too many uploads wait; Retry-After says when to come again.",
}
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": reason} for status, reason in _REASONS.items()
}
_OF_ALL: dict[int | str, dict[str, Any]] = {status: _PROBLEMS[status] for status in (403, 421)}

AnswerT = TypeVar("AnswerT")
RecordingIn = Annotated[RecordingForm, Form(media_type="multipart/form-data")]


def create_application(answerer: Answerer, name: str, limits: LimitSettings, *, only_local: bool = True) -> FastAPI:
    """Create the application that `lfbt serve` runs.

    Parameters
    ----------
    answerer : Answerer
        What answers; whoever made it closes it.
    name : str
        What the model is called.
    limits : LimitSettings
        Of uploads.
    only_local : bool
        Whether requests must be to a name of this machine.

    Returns
    -------
    FastAPI
        An ASGI application.
    """
    model, metrics = answerer.model, answerer.metrics
    app = FastAPI(
        title="lfbt",
        version=lfbt.__version__,
        description=f"ECG recordings in, class probabilities and embeddings out. {NO_MEDICAL_DEVICE}",
        openapi_url=_OPENAPI,
        # Their pages load scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
        form_limits={"max_files": limits.upload_files, "max_fields": 32, "max_part_size": 65536},
    )
    uploads = [_PREDICT, _EMBED] if model.classes else [_EMBED]
    gate: Gate | None = None

    def make_gate(inner: Any) -> Gate:
        nonlocal gate
        gate = Gate(inner, limits, metrics, uploads, [*uploads, _HEALTH, _METRICS, _PAGE, _OPENAPI], only_local)
        return gate

    app.add_middleware(make_gate)
    _tell_errors(app)

    async def answer(request: Request, form: RecordingForm, how: Callable[[Question], AnswerT]) -> AnswerT:
        if request.query_params:
            given = ", ".join(request.query_params)
            raise HTTPException(422, f"{given!a}: is given in the address; put it into the form")
        fields = [name for name, _ in (await request.form()).multi_items() if name != "files"]
        if repeated := [name for name in dict.fromkeys(fields) if fields.count(name) > 1]:
            raise LfbtError(f"{', '.join(repeated)}: given several times; give each field once")
        question = Question(
            uploads=[Upload(one.filename or "", one.file) for one in form.files],
            files=FileSettings(form.leads, form.sampling_rate, form.unit, form.allow_implausible),
            per_piece=form.per_piece,
            drawing=form.drawing,
            until=time.monotonic() + limits.wait_seconds,
        )
        try:
            return await asyncio.get_running_loop().run_in_executor(answerer.threads, how, question)
        except BusyError:
            raise _the(gate).busy() from None

    if model.classes:

        @app.post(_PREDICT, response_model=Prediction, responses=_PROBLEMS, summary="Classify a recording")
        async def predict(request: Request, form: RecordingIn) -> Prediction:
            return await answer(request, form, answerer.predict)

    @app.post(_EMBED, response_model=Embedding, responses=_PROBLEMS, summary="Compute the embedding of a recording")
    async def embed(request: Request, form: RecordingIn) -> Embedding:
        return await answer(request, form, answerer.embed)

    @app.get(_HEALTH, responses=_OF_ALL, summary="State, model and limits")
    async def health() -> Health:
        return Health(
            status="ok",
            version=lfbt.__version__,
            model=name,
            classes=list(model.classes),
            leads=list(model.config.leads),
            lead_subsets=[list(subset.leads) for subset in model.subsets],
            seconds=model.config.n_samples / model.config.sampling_rate,
            admitted=_the(gate).admitted,
            admitted_at_most=_the(gate).at_most,
            limits=Limits(
                upload_mb=limits.upload_mb,
                upload_files=limits.upload_files,
                recording_seconds=limits.recording_seconds,
                recording_values=limits.recording_values,
            ),
            notice=NO_MEDICAL_DEVICE,
        )

    @app.get(_METRICS, response_class=PlainTextResponse, responses=_OF_ALL, summary="Counters for Prometheus")
    async def count() -> PlainTextResponse:
        gauges = {
            "lfbt_admitted": ("Uploads that arrive, wait or are worked on.", _the(gate).admitted),
            "lfbt_admitted_at_most": ("Uploads that are admitted at most.", _the(gate).at_most),
            "lfbt_readers_replaced": ("Processes that read files and had to be ended.", answerer.restarts),
            "process_resident_memory_bytes": ("Memory of the server without its readers.", resident_bytes()),
        }
        return PlainTextResponse(metrics.to_text(gauges), headers={"content-type": CONTENT_TYPE})

    page, policy = load_page()

    @app.get(_PAGE, response_class=HTMLResponse, include_in_schema=False)
    async def show_page() -> HTMLResponse:
        return HTMLResponse(page, headers={"content-security-policy": policy})

    return app


def _the(gate: Gate | None) -> Gate:
    """The gate, which Starlette makes at the first request."""
    if gate is None:
        raise RuntimeError("the application has not begun")
    return gate


def _in_our_words(error: dict[str, Any]) -> str:
    """What is wrong with a field."""
    if error["loc"][1:2] == ("files",) and isinstance(error.get("input"), str):
        return "is text, not a file; send its content with its name, as curl -F files=@ecg.dcm does"
    return str(error["msg"])


def _tell_errors(app: FastAPI) -> None:
    """Have every error told in one line, as `Problem`."""

    def problem(status: int, detail: str, fields: list[str], headers: Any = None) -> JSONResponse:
        return JSONResponse(Problem(detail=detail, fields=fields).model_dump(), status, headers)

    @app.exception_handler(HTTPException)
    async def tell_http(_: Request, error: HTTPException) -> JSONResponse:
        return problem(error.status_code, str(error.detail), [], error.headers)

    @app.exception_handler(LfbtError)
    async def tell_own(_: Request, error: LfbtError) -> JSONResponse:
        status = 413 if isinstance(error, TooLargeError) else 422
        return problem(status, str(error), fields_named(str(error)))

    @app.exception_handler(RequestValidationError)
    async def tell_form(_: Request, error: RequestValidationError) -> JSONResponse:
        said = [
            (".".join(str(part) for part in one["loc"][1:]) or "form", _in_our_words(one)) for one in error.errors()
        ]
        fields = list(dict.fromkeys(name.partition(".")[0] for name, _ in said))
        return problem(422, "; ".join(f"{ascii(name)[1:-1]}: {message}" for name, message in said), fields)
