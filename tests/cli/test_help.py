"""The help of every command: its flags and defaults, its examples, and how it is set."""

import dataclasses
import importlib
import os
import re
import shlex
from pathlib import Path
from typing import Annotated, Literal

import pytest

from lfbt.cli.app import COMMANDS, main
from lfbt.cli.help import format_help
from lfbt.cli.options import list_options
from lfbt.sources import SOURCES
from lfbt.utils.settings import Range

REQUIRED = "required"
CPUS = str(os.cpu_count() or 1)
#: What `lfbt prepare SOURCE` shows for every source.
RECORDS = {
    "--leads": "II,III,V1,V2,V3,V4,V5,V6",
    "--n-samples": "2048",
    "--duration": "10.0",
    "--pieces": "all",
    "--shortest": "",
    "--allow-implausible": "",
    "--overwrite": "",
    "--keep-multi-label": "",
    "--test-fraction": "0.2",
    "--val-fraction": "0.1",
    "--split-seed": "0",
    "--layout": "packed",
    "--dtype": "float32",
    "--skip-unreadable": "",
    "--workers": CPUS,
    "--dask-scheduler": "",
}
PRETRAIN = {
    "--data-dir": REQUIRED,
    "--run-dir": REQUIRED,
    "--preset": "paper",
    "--epochs": "200",
    "--batch-size": "128",
    "--learning-rate": "0.001",
    "--schedule": "constant",
    "--warmup-epochs": "0.0",
    "--weight-decay": "0.0",
    "--ema": "0.0",
    "--objective": "lfbt",
    "--gamma": "0.8",
    "--lambd": "0.0051",
    "--temperature": "0.1",
    "--views": "2",
    "--positives": "record",
    "--crop": "resized",
    "--shortest-crop": "0.5",
    "--longest-time-out": "0.5",
    "--vcg-rotation": "0.0",
    "--scale": "0.0",
    "--wander": "0.0",
    "--hum": "0.0",
    "--noise": "0.0",
    "--lead-dropout": "0.0",
    "--projector": "2048-2048-2048",
    "--width": "0.125",
    "--normalisation": "record",
    "--leads": "",
    "--splits": "train",
    "--exclude": "",
    "--allow-test-records": "",
    "--seed": "0",
    "--split-seed": "0",
    "--device": "auto",
    "--precision": "fp32",
    "--batch-norm": "global",
    "--low-memory": "",
    "--workers": "2",
    "--print-freq": "0",
    "--save-steps": "0",
    "--save-minutes": "10.0",
    "--keep": "2",
    "--quality-data": "",
    "--quality-every": "5",
    "--quality-features": "paper",
    "--trackers": "",
    "--resume": "",
    "--overwrite": "",
}
SMALL = {
    "--preset": "small",
    "--epochs": "120",
    "--batch-size": "64",
    "--learning-rate": "0.002",
    "--schedule": "cosine",
    "--warmup-epochs": "3.0",
    "--projector": "512-512-512",
    "--normalisation": "none",
}
CLASSIFY = {
    "--data-dir": REQUIRED,
    "--run-dir": REQUIRED,
    "--checkpoint": "",
    "--leads": "",
    "--allow-mismatch": "",
    "--allow-test-records": "",
    "--num-classes": "",
    "--fraction": "1.0",
    "--seeds": "0",
    "--folds": "0",
    "--epochs": "100",
    "--batch-size": "128",
    "--split-seed": "0",
    "--device": "auto",
    "--workers": "2",
    "--resume": "",
    "--overwrite": "",
}
WATCH = {"--watch": "", "--poll-seconds": "2.0"}
FILES = {"--file-leads": "", "--file-sampling-rate": "", "--file-unit": "mV", "--allow-implausible": ""}
REPRODUCE = {
    "--out": REQUIRED,
    "--ningbo": "",
    "--ptbxl": "",
    "--cpsc2018": "",
    "--chapman": "",
    "--encoders": "",
    "--seeds": "0",
    "--quick": "",
    "--most-records": "0",
    "--n-samples": "2048",
    "--pretrain-epochs": "200",
    "--projector": "2048-2048-2048",
    "--batch-size": "128",
    "--probe-epochs": "100",
    "--finetune-epochs": "100",
    "--finetune-learning-rate": "0.0001",
    "--skip-unreadable": "",
    "--exclude": "",
    "--allow-test-records": "",
    "--low-memory": "",
    "--device": "auto",
    "--workers": CPUS,
}
QUICK = {
    "--most-records": "400",
    "--n-samples": "512",
    "--pretrain-epochs": "8",
    "--projector": "256-256-256",
    "--batch-size": "64",
    "--finetune-epochs": "4",
    "--finetune-learning-rate": "0.001",
}
#: Each command's flags with the defaults that its help shows; empty for none, for one that is empty, and for a switch.
FLAGS: dict[str, dict[str, str]] = {
    "prepare ptbxl": {"--labels": "superclass"} | RECORDS,
    "prepare cpsc2018": {"--labels": "diagnosis"} | RECORDS,
    "prepare chapman": {"--labels": "merged"} | RECORDS,
    "prepare ningbo": {"--labels": "none", "--mapping": ""} | RECORDS,
    "prepare challenge": {"--labels": "none", "--mapping": ""} | RECORDS,
    **{
        f"prepare {name}": {"--labels": "none", "--mapping": ""} | RECORDS
        for name in ("arrhythmia", "georgia", "cpsc-extra")
    },
    "prepare mimic-iv-ecg": RECORDS,
    "prepare code15": {"--labels": "findings"} | RECORDS,
    "prepare code-test": {"--labels": "findings"} | RECORDS,
    "prepare sami-trop": {"--labels": "normal"} | RECORDS,
    "prepare sph": {"--labels": "statements"} | RECORDS,
    "prepare ptb": {"--labels": "diagnosis"} | RECORDS,
    "prepare incart": RECORDS,
    "prepare zzu": {"--labels": "none"} | RECORDS,
    "prepare echonext": {"--labels": "shd"} | RECORDS,
    "prepare folder": {
        "--labels": "none",
        "--table": "",
        "--file-leads": "",
        "--file-sampling-rate": "",
        "--file-unit": "mV",
        "--file-separator": "auto",
        "--file-decimal": "auto",
        "--file-table": "",
        "--resample-leads": "",
    }
    | RECORDS,
    "prepare synthetic": {"--records": "600", "--seed": "0", "--labels": "superclass"} | RECORDS,
    "sources": {},
    "check": {"--out": "", "--overwrite": "", "--split-seed": "0", "--allow-implausible": ""},
    "pretrain": PRETRAIN,
    "pretrain --preset small": PRETRAIN | SMALL,
    "pretrain --preset=small": PRETRAIN | SMALL,
    "probe": CLASSIFY
    | {
        "--classifier": "adam",
        "--learning-rate": "0.001",
        "--c": "0.001 0.01 0.1 1.0",
        "--neighbours": "5 10 20 50",
        "--standardise": "",
        "--features": "paper",
        "--lead-subsets": "",
        "--leads-dropout": "0.0",
        "--random-encoder": "",
        "--rival": "",
    },
    "finetune": CLASSIFY
    | {
        "--learning-rate": "0.0001",
        "--from-scratch": "",
        "--precision": "fp32",
        "--batch-norm": "global",
        "--lead-subsets": "",
        "--leads-dropout": "0.0",
    },
    "embed": {
        "--data-dir": "",
        "--out": "",
        "--checkpoint": "lfbt-small",
        "--per-piece": "",
        "--overwrite": "",
        "--features": "paper",
        "--leads": "",
        "--allow-mismatch": "",
        "--missing-leads": "refuse",
        "--precision": "fp32",
        **FILES,
        "--split-seed": "0",
        "--device": "auto",
        "--workers": "2",
        **WATCH,
    },
    "predict": {
        "--out": "",
        "--overwrite": "",
        "--per-piece": "",
        "--batch-size": "64",
        **WATCH,
        "--classifier": "",
        **FILES,
        "--device": "auto",
    },
    "serve": {
        "--classifier": "",
        "--checkpoint": "",
        "--neighbours": "",
        "--host": "127.0.0.1",
        "--port": "8000",
        "--device": "auto",
        "--upload-mb": "16.0",
        "--upload-files": "8",
        "--recording-seconds": "600.0",
        "--recording-values": "8000000",
        "--receive-seconds": "30.0",
        "--read-seconds": "20.0",
        "--wait-seconds": "60.0",
        "--queue": "32",
        "--workers": "2",
    },
    "export": {"--out": REQUIRED, "--variant": "float32", "--overwrite": ""},
    "draw": {"--out": "", "--record": "", "--overwrite": "", **FILES},
    "compare": {
        "--out": "",
        "--overwrite": "",
        "--draws": "1000",
        "--seed": "0",
        "--metrics": "auroc auprc",
        "--baseline": "",
    },
    "report": {"--out": "report", "--overwrite": ""},
    "runs": {},
    "benchmark": {
        "--checkpoint": "lfbt-small",
        "--protocol": "linear",
        "--tasks": "",
        "--fraction": "1.0",
        "--seeds": "0",
        "--features": "paper",
        "--standardise": "",
        "--window": "2.5",
        "--epochs": "",
        "--allow-test-records": "",
        "--skip-unreadable": "",
        "--device": "auto",
        "--workers": CPUS,
    },
    "reproduce": REPRODUCE,
    "reproduce --quick": REPRODUCE | QUICK,
}
POSITIONAL = {
    **{f"prepare {name}": ("FROM", "TO") for name in SOURCES},
    "benchmark": ("DATA", "FROM", "TO"),
    "sources": ("SOURCE",),
    "check": ("DIR ...",),
    "compare": ("RUN ...",),
    "draw": ("FILE ...",),
    "embed": ("INPUT ...",),
    "export": ("INPUT",),
    "predict": ("INPUT ...",),
    "report": ("RUN ...",),
    "runs": ("DIR",),
}


@pytest.fixture
def help_of(monkeypatch, capsys):
    """The help that a command prints, on a terminal of some width."""

    def run(command, width=80):
        monkeypatch.setenv("COLUMNS", str(width))
        with pytest.raises(SystemExit) as caught:
            main([*command.split(), "--help"])
        assert caught.value.code == 0
        captured = capsys.readouterr()
        assert captured.err == ""
        return captured.out

    return run


def entries_of(text):
    """The meaning of each option, on one line, by its flag or placeholder."""
    parts = re.split(
        r"^  (--[a-z][a-z0-9-]*|[A-Z]+(?: \.\.\.)?)(?= )", text.split("\nExamples:")[0], flags=re.MULTILINE
    )
    return {name: " ".join(entry.split()) for name, entry in zip(parts[1::2], parts[2::2], strict=True)}


def examples_of(text):
    """The commands at the end of the help, each as words after `lfbt`."""
    lines = text.split("\nExamples:\n")[1].replace("\\\n", " ").splitlines()
    examples = [shlex.split(line) for line in lines]
    assert all(words[0] == "lfbt" for words in examples)
    return [words[1:] for words in examples]


@pytest.mark.parametrize("command", FLAGS)
def test_help_lists_every_flag_with_its_default(help_of, command):
    text = help_of(command)
    assert text.startswith(f"usage: lfbt {' '.join(word for word in command.split() if word in (*COMMANDS, *SOURCES))}")
    entries = entries_of(text)
    positional = POSITIONAL.get(command, ())
    assert set(entries) == {*FLAGS[command], *positional, "--json", "--quiet"}
    for name in positional:
        assert len(entries[name]) > 20
    for flag, default in FLAGS[command].items():
        entry = entries[flag]
        assert len(entry) > 20
        shown = re.search(r"\((required|default: [^;)]*)", entry)
        expected = default if default in ("", REQUIRED) else f"default: {default}"
        assert (shown[1] if shown else "") == expected


@pytest.mark.parametrize("command", FLAGS)
def test_help_is_plain_text_without_empty_words(help_of, command):
    text = help_of(command)
    for noise in ("{None}", "None", "(default: )", "(default: False)", "''", "MISSING", "()", "│", "\x1b", "\xa0"):
        assert noise not in text


@pytest.mark.parametrize("command", FLAGS)
def test_help_ends_with_examples_that_are_parsed(help_of, command):
    examples = examples_of(help_of(command))
    assert 2 <= len(examples) <= 4
    for words in examples:
        assert " ".join(words).startswith(" ".join(command.split(" --")[0].split()))
        importlib.import_module(f"lfbt.cli.{words[0]}").parse(words[1:])


@pytest.mark.parametrize("width", [80, 110])
@pytest.mark.parametrize("command", ["pretrain", "probe", "prepare folder", "compare"])
def test_help_is_as_wide_as_the_terminal(help_of, command, width):
    lines = help_of(command, width).split("\nExamples:")[0].splitlines()
    assert width - 15 < max(map(len, lines)) <= width


def test_help_has_the_choices_of_the_preset_on_lines_of_their_own(help_of):
    text = help_of("pretrain")
    for name in ("paper", "small"):
        assert re.search(rf"^ {{28}}{name}  \w", text, re.MULTILINE)


@pytest.mark.parametrize("words", ["", "-h", "--help"])
def test_prepare_lists_its_sources(words, capsys):
    main(["prepare", *words.split()])
    output = capsys.readouterr().out
    for name in SOURCES:
        assert re.search(rf"^  {name} +[A-Z]", output, re.MULTILINE)


# --- the text, of settings made for these tests ---


@dataclasses.dataclass(frozen=True)
class Weights:
    learning_rate: Annotated[float, Range("(0, 1000]")] = 1e-3
    """Adam's rate."""
    how: Literal["slow", "fast"] = "slow"
    """How they change. slow: a little at each step, until the loss falls no more, which takes long. fast: at once."""


@dataclasses.dataclass(frozen=True)
class Settings:
    data_dir: tuple[Path, ...]
    """Data sets."""
    weights: Weights = Weights()
    out: Path | None = None
    """New folder."""


EXPECTED = """\
usage: lfbt do --data-dir DIR ... [OPTIONS]

Do something.

Options:
  --data-dir DIR ...      Data sets. (required)
  --out DIR               New folder.
  --json                  Print the result as one JSON object on stdout, and
                          nothing else there.
  --quiet                 Print errors only; with --json the result, too.
  -h, --help              Show this help and exit.

Weights:
  --learning-rate RATE    Adam's rate. (default: 0.001; in (0, 1000])
  --how {slow,fast}       How they change. (default: slow)
                            slow  a little at each step, until the loss falls no
                                  more, which takes long.
                            fast  at once.

Examples:
  lfbt do --data-dir data
  lfbt do --data-dir data \\
    --out here"""


def test_format_help_groups_options_and_shows_choices_ranges_and_examples(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    examples = ("lfbt do --data-dir data", "lfbt do --data-dir data \\\n  --out here")
    assert format_help("do", "Do something.", list_options(Settings), examples) == EXPECTED


def test_format_help_shows_the_values_of_settings_given():
    changed = Settings((Path("data"),), weights=Weights(learning_rate=0.5, how="fast"))
    text = format_help("do", "Do something.", list_options(Settings, changed), ("lfbt do",))
    assert "Adam's rate. (default: 0.5; in (0, 1000])" in text
    assert "How they change. (default: fast)" in text
    # What has no default is asked for, whatever the settings hold.
    assert "Data sets. (required)" in text
