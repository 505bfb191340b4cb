"""Text on a terminal."""

import pytest

from lfbt.utils.printing import escape, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("II, V1\n\tÄ µV", "II, V1\n\tÄ µV"),
        ("a\x1b[2Jb", "a\\x1b[2Jb"),
        ("a\rb\x9bc", "a\\x0db\\x9bc"),
        ("gnp.\u202esvg", "gnp.\\u202esvg"),
        ("\x1b[31mred\x1b[0m", "\x1b[31mred\x1b[0m"),
        ("\x1b[8mhidden\x1b[1;5m", "\\x1b[8mhidden\\x1b[1;5m"),
    ],
)
def test_printable_leaves_nothing_that_steers_a_terminal_but_colours(text, shown):
    assert printable(text) == shown


def test_escape_has_the_byte_of_a_name_that_is_no_utf_8():
    assert escape("\udcff") == "\\xff"
