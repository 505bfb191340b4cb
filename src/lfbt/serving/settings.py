"""The settings of a server, and its limits."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

from lfbt.errors import LfbtError
from lfbt.utils.settings import Affects, Range


@dataclasses.dataclass(frozen=True)
class LimitSettings:
    """What a client may ask of the server, so that no upload uses it up."""

    upload_mb: Annotated[float, Range("(0, 4096]"), Affects.RUNTIME] = 16.0
    """Megabytes of an upload, all of its files together; larger ones are refused while they arrive."""
    upload_files: Annotated[int, Range("[1, 64]"), Affects.RUNTIME] = 8
    """Files of an upload, which is one recording."""
    recording_seconds: Annotated[float, Range("(0, 86400]"), Affects.RUNTIME] = 600.0
    """Seconds that a recording may last."""
    recording_values: Annotated[int, Range("[1, 1000000000]"), Affects.RUNTIME] = 8_000_000
    """Leads times samples of a recording: ten minutes of 12 leads at 1000 Hz are 7,200,000."""
    receive_seconds: Annotated[float, Range("(0, 86400]"), Affects.RUNTIME] = 30.0
    """Seconds that an upload may take to arrive."""
    read_seconds: Annotated[float, Range("(0, 86400]"), Affects.RUNTIME] = 20.0
    """Seconds that its files may take to be read; the process that reads them is ended then."""
    wait_seconds: Annotated[float, Range("(0, 86400]"), Affects.RUNTIME] = 60.0
    """Seconds that a complete upload may wait for its turn."""
    queue: Annotated[int, Range("[0, 1000]"), Affects.RUNTIME] = 32
    """Uploads that wait or arrive, besides those that are worked on; others are asked to come again."""
    workers: Annotated[int, Range("[1, 64]"), Affects.RUNTIME] = 2
    """Uploads that are read at a time, each in a process of its own; the model computes one at a time."""


@dataclasses.dataclass(frozen=True)
class ServeSettings:
    """What is served, and where."""

    classifier: Annotated[Path | None, Affects.LOCATION] = None
    """What `lfbt predict` takes: the run folder of a probe or a fine-tuning. It gives predictions and embeddings."""
    checkpoint: Annotated[Path | None, Affects.LOCATION] = None
    """An encoder, such as lfbt-small, for embeddings only, in place of a classifier."""
    neighbours: Annotated[Path | None, Affects.LOCATION] = None
    """Prepared data set whose training records are searched for the nearest; by default those that a probe kept."""
    host: Annotated[str, Affects.RUNTIME] = "127.0.0.1"
    """Address to listen on; with any other than a loopback address, whoever reaches this machine can use the server."""
    port: Annotated[int, Range("[0, 65535]"), Affects.RUNTIME] = 8000
    """Port to listen on; 0 takes a free one."""
    device: Annotated[str, Affects.RUNTIME] = "auto"
    """auto, cpu or cuda."""
    limits: LimitSettings = LimitSettings()

    def check(self) -> None:
        """Raise LfbtError unless there is either a classifier or an encoder, and a host."""
        if self.classifier is None and self.checkpoint is None:
            raise LfbtError(
                "classifier: none given; give a run folder of lfbt probe or finetune, or a checkpoint, "
                "such as --checkpoint lfbt-small"
            )
        if self.classifier is not None and self.checkpoint is not None:
            raise LfbtError(f"checkpoint: {self.checkpoint} is given beside a classifier, which has its own; give one")
        if not self.host.strip():
            raise LfbtError("host: empty; give an address such as 127.0.0.1")
