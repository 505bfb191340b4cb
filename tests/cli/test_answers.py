"""How commands end that answered recordings."""

import pytest

from lfbt.cli.answers import end_with
from lfbt.inference.answering import AnswerReport


def test_end_with_is_silent_on_a_terminal_unless_something_failed(capsys):
    end_with(AnswerReport(1, 0), "")
    assert capsys.readouterr() == ("", "")
    end_with(AnswerReport(1, 0), "a.csv")
    assert capsys.readouterr() == ("", "a.csv: 1 recording answered\n")
    with pytest.raises(SystemExit) as ended:
        end_with(AnswerReport(3, 2, "b.npy: flat"), "")
    assert ended.value.code == 1
    assert capsys.readouterr() == ("", "3 recordings answered; 2 could not be, the first: b.npy: flat\n")
