"""Completion: the script for bash does it in a real bash; those for zsh and fish name the same words."""

import shlex
import shutil
import subprocess

import pytest
from tests.cli.helpers import output_of, refused

from lfbt.cli.completion import list_flags
from lfbt.cli.options import list_options
from lfbt.cli.overview import COMMANDS
from lfbt.evaluation.settings import ProbeSettings
from lfbt.paper.reproduction import ReproduceSettings
from lfbt.sources import SOURCES
from lfbt.training.settings import PretrainSettings


@pytest.fixture(scope="module")
def scripts(tmp_path_factory):
    """The script of each shell."""
    place = tmp_path_factory.mktemp("completion")
    for shell in ("bash", "zsh", "fish"):
        (place / shell).write_text(output_of("--print-completion", shell))
    return place


def completed(scripts, *words):
    """What bash offers for the last of `words`."""
    given = " ".join(map(shlex.quote, words))
    script = (
        f"source {scripts / 'bash'}; COMP_WORDS=({given}); COMP_CWORD={len(words) - 1}; _lfbt; echo ${{COMPREPLY[@]}}"
    )
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True, cwd=scripts)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_bash_completes_commands_sources_flags_and_files(scripts):
    assert completed(scripts, "lfbt", "pr") == ["prepare", "pretrain", "probe", "predict"]
    assert completed(scripts, "lfbt", "") == list(COMMANDS)
    assert completed(scripts, "lfbt", "prepare", "ptb") == ["ptbxl", "ptb"]
    assert completed(scripts, "lfbt", "pretrain", "--data-dir", "data", "--warm") == ["--warmup-epochs"]
    assert completed(scripts, "lfbt", "prepare", "folder", "a", "b", "--file-l") == ["--file-leads"]
    assert completed(scripts, "lfbt", "compare", "--gamma") == []
    assert completed(scripts, "lfbt", "report", "fi") == ["fish"]


def test_completion_script_of_zsh_is_that_of_bash(scripts):
    first, rest = (scripts / "zsh").read_text().split("\n", 1)
    assert first == "autoload -Uz compinit bashcompinit && compinit && bashcompinit"
    assert rest == (scripts / "bash").read_text()


def test_completion_script_of_fish_names_each_flag_once_a_command(scripts):
    lines = [shlex.split(line.replace("\\'", "")) for line in (scripts / "fish").read_text().splitlines()]
    assert all(line[:3] == ["complete", "-c", "lfbt"] for line in lines)
    named = {(line[4].split()[-1], line[6]) for line in lines if line[5] == "-l"}
    expected = {(command, flag[2:]) for command in COMMANDS for flag in list_flags(command)}
    assert named == expected
    assert {("probe", "classifier"), ("prepare", "file-leads"), ("runs", "json"), ("embed", "quiet")} <= named
    assert any(line[-1] == " ".join(SOURCES) for line in lines)


@pytest.mark.parametrize("words", [(), ("tcsh",)])
def test_print_completion_refuses_other_shells(words):
    name = "".join(words)
    assert refused("--print-completion", *words) == f"--print-completion: {name!r} is not one of bash, zsh, fish"


@pytest.mark.parametrize(
    ("command", "kind"), [("pretrain", PretrainSettings), ("probe", ProbeSettings), ("reproduce", ReproduceSettings)]
)
def test_list_flags_has_every_option(command, kind):
    assert set(list_flags(command)) == {option.flag for option in list_options(kind)} | {"--json", "--quiet"}


def test_list_flags_has_what_each_means():
    flags = list_flags("probe")
    assert flags["--data-dir"].startswith("Labelled data set: a packed one")
    assert flags["--random-encoder"].startswith("Probe a random encoder")
    assert flags["--quiet"].startswith("Print errors only")
