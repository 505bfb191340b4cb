"""What a report is made of: sections of paragraphs, facts, tables, charts and ECGs, as data for the template."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from typing import ClassVar, Literal

from markupsafe import Markup

from lfbt.reports.charts import Chart, Strip


@dataclasses.dataclass(frozen=True)
class Paragraph:
    """Sentences; style: note, or warning."""

    text: str
    style: Literal["", "note", "warning"] = ""
    kind: ClassVar[str] = "paragraph"


@dataclasses.dataclass(frozen=True)
class Heading:
    """The title of a part of a section."""

    text: str
    kind: ClassVar[str] = "heading"


@dataclasses.dataclass(frozen=True)
class Fact:
    """A name and what there is to say of it; is_code: it is to be typed."""

    name: str
    text: str
    is_code: bool = False


@dataclasses.dataclass(frozen=True)
class Facts:
    """Facts below each other."""

    facts: tuple[Fact, ...]
    kind: ClassVar[str] = "facts"


@dataclasses.dataclass(frozen=True)
class Column:
    """The head of a column; kind: t for text, n for a number and more, pic for a picture, which no CSV has."""

    name: str
    kind: str = ""


@dataclasses.dataclass(frozen=True)
class Shade:
    """A cell whose background is the darker the greater `heat` is, from 0 to 9."""

    text: str
    heat: int


#: What stands in a cell.
Cell = str | Strip | Shade


@dataclasses.dataclass(frozen=True)
class TableRow:
    """The cells of a row; best: it stands out."""

    cells: tuple[Cell, ...]
    best: bool = False


@dataclasses.dataclass(frozen=True)
class Table:
    """A table that can be sorted and saved as CSV."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[TableRow, ...]
    sortable: bool = True
    kind: ClassVar[str] = "table"

    @property
    def name(self) -> str:
        """Of the CSV file, without its suffix.

        >>> Table("Classes by split", (), ()).name
        'classes-by-split'
        """
        return re.sub("[^a-z0-9]+", "-", self.caption.lower()).strip("-")[:40] or "table"


@dataclasses.dataclass(frozen=True)
class Charts:
    """Charts side by side, and what to see in them."""

    charts: tuple[Chart, ...]
    caption: str = ""
    kind: ClassVar[str] = "charts"


@dataclasses.dataclass(frozen=True)
class Ecg:
    """A drawn ECG and what it is; `svg` is from `lfbt.drawing`, which escapes all names."""

    svg: Markup
    caption: str
    kind: ClassVar[str] = "ecg"


@dataclasses.dataclass(frozen=True)
class Fold:
    """Blocks that are shown when they are asked for."""

    title: str
    blocks: tuple[Block, ...]
    is_open: bool = False
    kind: ClassVar[str] = "fold"


Block = Paragraph | Heading | Facts | Table | Charts | Ecg | Fold


@dataclasses.dataclass(frozen=True)
class Section:
    """A part of the report; look: what to see in it."""

    key: str
    title: str
    look: str
    blocks: tuple[Block, ...]


def table_of(
    caption: str, columns: Sequence[tuple[str, str]], rows: Sequence[Sequence[Cell]], best: int | None = None
) -> Table:
    """Make a table of plain rows, of which one may stand out."""
    return Table(
        caption,
        tuple(Column(*column) for column in columns),
        tuple(TableRow(tuple(row), best=i == best) for i, row in enumerate(rows)),
    )
