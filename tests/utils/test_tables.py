"""Tables as text, Markdown and LaTeX."""

from lfbt.utils.tables import as_latex, as_markdown, as_text

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
