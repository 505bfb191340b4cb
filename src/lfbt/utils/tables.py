"""Format rows of cells as aligned text, Markdown or LaTeX; the first row is the header."""

from __future__ import annotations

import re
from collections.abc import Sequence


def as_text(cells: Sequence[Sequence[str]]) -> str:
    """Format lines of aligned columns.

    >>> print(as_text([["run", "AUROC"], ["probe", "0.91"]]))
    run    AUROC
    probe  0.91
    """
    cells = [[_one_line(cell) for cell in line] for line in cells]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in cells)


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
    return " ".join(cell.split())


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
