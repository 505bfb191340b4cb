"""Format rows of cells as aligned text, Markdown or LaTeX; the first row is the header."""

from __future__ import annotations

import os
import re
import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Literal

from lfbt.utils.printing import escape

#: How a cell is shown on a terminal.
Style = Literal["bold", "red", "green", "yellow"]

# As ECMA-48 numbers them.
_CODES: Mapping[Style, int] = {"bold": 1, "red": 31, "green": 32, "yellow": 33}
_PLAIN: Mapping[tuple[int, int], Style] = MappingProxyType({})


def terminal_width() -> int | None:
    """Return the width of the terminal that stdout is; None where it is a pipe or a file."""
    return shutil.get_terminal_size().columns if sys.stdout is not None and sys.stdout.isatty() else None


def as_text(
    cells: Sequence[Sequence[str]], width: int | None = None, styles: Mapping[tuple[int, int], Style] = _PLAIN
) -> str:
    """Format lines of aligned columns; where these are wider than `width`, each row as a block of named cells.

    styles: of cells by row and column, the header row 0; shown where there is a width, that of a terminal, unless the
    environment has NO_COLOR or a terminal that is dumb.

    >>> print(as_text([["run", "AUROC"], ["probe", "0.91"]]))
    run    AUROC
    probe  0.91
    """
    cells = [[_one_line(cell) for cell in line] for line in cells]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    is_plain = width is None or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    styles = _PLAIN if is_plain else styles
    if width is not None and len(cells) > 1 and text_width(cells) > width:
        blocks = [
            _as_block(cells[0], line, width, [styles.get((i, j)) for j in range(len(line))])
            for i, line in enumerate(cells)
        ]
        return "\n\n".join(blocks[1:])
    return "\n".join(
        "  ".join(
            _styled(cell, styles.get((i, j))) + " " * (widths[j] - len(cell)) for j, cell in enumerate(line)
        ).rstrip()
        for i, line in enumerate(cells)
    )


def text_width(cells: Sequence[Sequence[str]]) -> int:
    """Return the width of the lines that `as_text` aligns."""
    widths = [max(len(_one_line(cell)) for cell in column) for column in zip(*cells, strict=True)]
    return sum(widths) + 2 * (len(widths) - 1)


def _styled(text: str, style: Style | None) -> str:
    return text if style is None else f"\x1b[{_CODES[style]}m{text}\x1b[0m"


def _as_block(header: Sequence[str], line: Sequence[str], width: int, styles: Sequence[Style | None]) -> str:
    """One row, a line a cell that is not empty."""
    margin = max(map(len, header)) + 2
    lines = []
    for name, cell, style in zip(header, line, styles, strict=True):
        if not cell:
            continue
        # What does not fit beside its name stands below it.
        is_below = max(map(len, cell.split())) > width - margin
        indent = " " * (2 if is_below else margin)
        # An address or a path stays whole, to be copied.
        wrap = textwrap.TextWrapper(
            max(width, len(indent) + 10),
            initial_indent=indent,
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
        )
        text = _styled(wrap.fill(cell)[len(indent) :], style)
        lines += [name, indent + text] if is_below else [f"{name:<{margin}}{text}"]
    return "\n".join(lines)


def as_markdown(cells: Sequence[Sequence[str]]) -> str:
    """Format a Markdown table."""
    lines = [f"| {' | '.join(map(markdown, line))} |" for line in cells]
    return "\n".join([lines[0], "|" + "---|" * len(cells[0]), *lines[1:]])


def as_latex(cells: Sequence[Sequence[str]]) -> str:
    r"""Format a LaTeX ``tabular`` that needs no package."""
    lines = [f"{' & '.join(map(_latex, line))} \\\\" for line in cells]
    columns = "l" * len(cells[0])
    rule = r"\hline"
    return "\n".join([f"\\begin{{tabular}}{{{columns}}}", rule, lines[0], rule, *lines[1:], rule, r"\end{tabular}"])


def _one_line(cell: str) -> str:
    """The cell without line breaks, and with escapes for signs that would steer the terminal."""
    return "".join(sign if sign.isprintable() else escape(sign) for sign in " ".join(cell.split()))


def markdown(cell: str) -> str:
    """Escape what Markdown would take for markup."""
    return re.sub(r"[\\`*_<>|~$#&]|(?<=\])\(", r"\\\g<0>", _one_line(cell))


_LATEX = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "|": r"\textbar{}", "±": r"$\pm$",
    # After the end of a line these two would be taken for its options.
    "[": "{[}", "*": "{*}",
} | {sign: f"\\{sign}" for sign in "&%$#_{}"}  # fmt: skip


def _latex(cell: str) -> str:
    """Escape what LaTeX would take for commands; the sign of a number becomes a minus."""
    escaped = "".join(_LATEX.get(sign, sign) for sign in _one_line(cell))
    return re.sub("-(?=-)", "-{}", re.sub(r"(?<![\w-])-(?=\d)", "$-$", escaped))
