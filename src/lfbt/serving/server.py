"""The server: a model loaded, a socket bound, requests answered until a signal."""

from __future__ import annotations

import contextlib
import importlib.util
import socket
from pathlib import Path

from lfbt.errors import LfbtError
from lfbt.inference.loading import load_encoder_model, load_model
from lfbt.inference.prediction import Model
from lfbt.serving.settings import ServeSettings
from lfbt.utils.figures import format_count
from lfbt.utils.interrupts import calling_on_hangup
from lfbt.utils.progress import write_line
from lfbt.utils.settings import validate

# What the extra `serve` installs, by the names of the modules.
_PACKAGES = ("fastapi", "uvicorn", "python_multipart")
_BACKLOG = 1024
# Uploads that are being answered have so long to end after a signal.
_SHUTDOWN_SECONDS = 30
# Longer than any client is asked to wait: it comes again on the same connection, which must not be closed just then.
_KEEP_ALIVE_SECONDS = 75


def serve(settings: ServeSettings) -> None:
    """Answer recordings over HTTP until SIGINT, SIGTERM or SIGHUP, which is raised again once all uploads are answered.

    Parameters
    ----------
    settings
        What is served, and where.

    Raises
    ------
    LfbtError
        Without the packages, for a model or a data set that is none, and for an address that cannot be used.
    """
    validate(settings)
    absent = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if absent:
        raise LfbtError(f"serve needs {', '.join(absent)}, which is not installed; pip install 'lfbt[serve]'")
    import uvicorn

    from lfbt.serving.answers import Answerer
    from lfbt.serving.application import create_application
    from lfbt.serving.gate import is_loopback
    from lfbt.serving.neighbours import embedded, kept_by_run

    # Before the model, which takes seconds.
    with bind(settings.host, settings.port) as listener:
        model, path = _load(settings)
        neighbours = None
        if settings.neighbours is not None:
            write_line(f"embedding the training records of {settings.neighbours}")
            neighbours = embedded(settings.neighbours, model)
        elif settings.classifier is not None:
            neighbours = kept_by_run(path, model)
        with contextlib.closing(Answerer(model, settings.limits, neighbours)) as answerer:
            only_local = is_loopback(settings.host)
            app = create_application(answerer, path.resolve().name, settings.limits, only_local=only_local)
            config = uvicorn.Config(
                app,
                # The application's own errors are told by Python's logging, on stderr.
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=_KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
            )
            host, port = listener.getsockname()[:2]
            shown = f"[{host}]" if ":" in host else host
            what = f"classes {', '.join(model.classes)}" if model.classes else "embeddings only"
            records = f"; {format_count(len(neighbours.ids), 'training record')} to compare with" if neighbours else ""
            write_line(f"serving {path} ({what}{records}) at http://{shown}:{port}/ until Ctrl-C")
            if not only_local:
                write_line(
                    f"host: {host} is no loopback address: whoever can reach this machine can use the server, without "
                    "a password and unencrypted"
                )
            server = uvicorn.Server(config)
            with calling_on_hangup(lambda: setattr(server, "should_exit", True)):
                server.run(sockets=[listener])


def _load(settings: ServeSettings) -> tuple[Model, Path]:
    """The model, and by which path it was named."""
    if settings.classifier is not None:
        return load_model(settings.classifier, settings.device), settings.classifier
    path = settings.checkpoint or Path()
    return load_encoder_model(path, settings.device), path


def bind(host: str, port: int) -> socket.socket:
    """Return a socket that listens at an address. Raises LfbtError where that is not possible."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise LfbtError(f"host: {host!r} is no address ({error.strerror}); give one such as 127.0.0.1") from error
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        reason = (error.strerror or str(error)).lower()
        raise LfbtError(
            f"port: {port} of {host} cannot be used ({reason}); give another, or 0 for a free one"
        ) from error
    return listener
