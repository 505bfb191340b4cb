"""Tables as text, Markdown and LaTeX."""

from lfbt.utils.tables import Style, as_latex, as_markdown, as_text, terminal_width

NASTY = "a_b & 50% of $x$ #1 {y} ~z^2 \\w | <i> *s* `c` [l](u)"


def test_as_latex_escapes_commands():
    line = as_latex([["run"], [NASTY]]).splitlines()[4]
    assert line == (
        r"a\_b \& 50\% of \$x\$ \#1 \{y\} \textasciitilde{}z\textasciicircum{}2 \textbackslash{}w \textbar{} "
        r"\textless{}i\textgreater{} {*}s{*} `c` {[}l](u) \\"
    )
    assert as_latex([["-0.5 [-0.1, +0.2]"], ["run-1--2---3"], ["1 ± 2"]]).splitlines()[2:6] == [
        r"$-$0.5 {[}$-$0.1, +0.2] \\",
        r"\hline",
        r"run-1-{}-2-{}-{}-3 \\",
        r"1 $\pm$ 2 \\",
    ]


def test_as_markdown_escapes_markup():
    header, rule, line = as_markdown([["run", "p"], [NASTY, "two\nlines"]]).splitlines()
    assert (header, rule) == ("| run | p |", "|---|---|")
    escaped = r"a\_b \& 50% of \$x\$ \#1 {y} \~z^2 \\w \| \<i\> \*s\* \`c\` [l]\(u)"
    assert line == f"| {escaped} | two lines |"


def test_as_text_aligns_columns():
    assert as_text([["run", "p"], ["a long one", "0.1"], ["b", ""]]).splitlines() == [
        "run         p",
        "a long one  0.1",
        "b",
    ]


def test_as_text_stacks_the_cells_of_rows_that_are_too_wide():
    cells = [["run", "quality", "settings"], ["one", "0.91", "epochs=3 seed=1 leads=II,V1"], ["two", "", "epochs=9"]]
    line = "one  0.91     epochs=3 seed=1 leads=II,V1"
    for width in (None, len(line)):
        assert as_text(cells, width).splitlines()[1] == line
    assert as_text(cells, 28).splitlines() == [
        "run       one",
        "quality   0.91",
        "settings  epochs=3 seed=1",
        "          leads=II,V1",
        "",
        "run       two",
        "settings  epochs=9",
    ]
    assert as_text([["a header", "alone"]], 5) == "a header  alone"
    # What does not fit beside its name stands below it.
    assert as_text([["settings", "run"], ["seed=1 a_long_name=of-a-value", "b"]], 24).splitlines() == [
        "settings",
        "  seed=1",
        "  a_long_name=of-a-value",
        "run       b",
    ]
    # An address is not broken.
    assert as_text([["where"], ["https://physionet.org/content/x"]], 12).split() == [
        "where",
        "https://physionet.org/content/x",
    ]


def test_as_text_styles_cells_on_a_terminal_only(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    cells = [["run", "AUROC"], ["probe", "0.91"]]
    styles: dict[tuple[int, int], Style] = {(0, 0): "bold", (1, 1): "green"}
    assert as_text(cells, None, styles) == "run    AUROC\nprobe  0.91"
    assert as_text(cells, 80, styles) == "\x1b[1mrun\x1b[0m    AUROC\nprobe  \x1b[32m0.91\x1b[0m"
    assert as_text(cells, 11, styles) == "run\n  probe\nAUROC  \x1b[32m0.91\x1b[0m"
    monkeypatch.setenv("NO_COLOR", "1")
    assert as_text(cells, 80, styles) == as_text(cells)


def test_as_text_escapes_what_would_steer_the_terminal():
    nasty = "a\x1b[31m\x07\u202eb\udcff µ"
    assert as_text([["run"], [nasty]]).splitlines()[1] == "a\\x1b[31m\\x07\\u202eb\\xff µ"


def test_terminal_width_is_none_in_a_pipe(monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: False)
    assert terminal_width() is None
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "42")
    assert terminal_width() == 42
