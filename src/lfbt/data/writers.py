"""The two layouts of a prepared data set, written record by record."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np

from lfbt.signal import Signal, normalise


class PackedWriter:
    """Writes ``signals.npy`` row after row, so that no more than one record is in memory.

    path: the file; shape: ``(leads, samples)`` of a record; dtype: of the file's numbers; n: records that are there
    already, and stay.
    """

    def __init__(
        self, path: Path, shape: tuple[int, int], dtype: Literal["float32", "float16"] = "float32", n: int = 0
    ) -> None:
        self.shape = shape
        self.dtype = np.dtype(dtype).newbyteorder("<")
        self.n = n
        self.file: BinaryIO = path.open("r+b" if n else "wb")
        self._write_header()
        self.file.seek(self.file.tell() + n * self.dtype.itemsize * math.prod(shape))
        self.file.truncate()

    def _write_header(self) -> None:
        # NumPy pads the header so that its first axis can grow in place.
        header = io.BytesIO()
        content = {"descr": self.dtype.str, "fortran_order": False, "shape": (self.n, *self.shape)}
        np.lib.format.write_array_header_1_0(header, content)
        self.file.seek(0)
        self.file.write(header.getvalue())

    def append(self, signal: Signal) -> None:
        """Write one record ``[leads, samples]``."""
        self.file.write(np.ascontiguousarray(signal, dtype=self.dtype).data)
        self.n += 1

    def flush(self) -> None:
        """Hand what is written to the operating system."""
        self.file.flush()

    def close(self) -> None:
        """Write the number of records into the header, and close the file."""
        self._write_header()
        self.file.close()


class NpyWriter:
    """Writes the authors' layout: one z-scored file a record, in ``samples`` below `folder`.

    n: records that are there already, and stay.
    """

    def __init__(self, folder: Path, n: int = 0) -> None:
        self.folder = folder
        self.n = n
        (folder / "samples").mkdir(exist_ok=True)

    def append(self, signal: Signal) -> None:
        """Write one record ``[leads, samples]``."""
        np.save(self.folder / "samples" / f"sample_{self.n}.npy", normalise(signal, "record"))
        self.n += 1

    def sort(self, rows: Iterable[tuple[str, str]]) -> None:
        """Move the file of each record to ``split/class``; `rows` has both of each record, in order."""
        for row, (split, label) in enumerate(rows):
            name = f"sample_{row}.npy"
            (self.folder / split / label).mkdir(parents=True, exist_ok=True)
            (self.folder / "samples" / name).rename(self.folder / split / label / name)
        (self.folder / "samples").rmdir()

    def flush(self) -> None:
        """Do nothing: every file is written already."""

    def close(self) -> None:
        """Do nothing: every file is closed already."""
