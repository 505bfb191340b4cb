"""Run commands in this process, with bad input and good."""

import contextlib
import io
import json

import numpy as np

from lfbt.cli.app import main


def run(*words):
    """Status, stdout and stderr of a command."""
    out, err = io.StringIO(), io.StringIO()
    status: object = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main([str(word) for word in words])
        except SystemExit as ended:
            status = ended.code
    return status, out.getvalue(), err.getvalue()


def refused(*words, begun=False):
    """The message of a command that must end with status 2 and one line on stderr.

    begun: whether it may have begun to work, and said so in a line before.
    """
    status, _, err = run(*words)
    assert status == 2
    if begun:
        *before, last = err.splitlines(keepends=True)
        assert all("record" in line or "hold the cores" in line for line in before)
        err = last
    assert err.startswith("lfbt: error: ")
    assert err.endswith("\n")
    assert err.count("\n") == 1
    return err.removeprefix("lfbt: error: ").rstrip("\n")


def output_of(*words):
    """What a command prints to stdout; it must succeed, with nothing about an error on stderr."""
    status, out, err = run(*words)
    assert status == 0, err
    assert "rror" not in err
    return out


def read_json(path):
    return json.loads(path.read_text())


def everything(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


SHORT = ("--epochs", 1, "--workers", 0, "--device", "cpu")
#: Options of the commands of the fixture `chain`.
PRETRAIN_SHORT = ("--epochs", 2, "--batch-size", 32, "--projector", "32-32-32", "--workers", 0, "--device", "cpu")
CLASSIFY_SHORT = ("--epochs", 2, "--batch-size", 32, "--workers", 0, "--device", "cpu")


def pretrain_words(place, target):
    return ("pretrain", "--data-dir", place / "data", "--run-dir", target, "--projector", "8-8", *SHORT)


def classify_words(command, place, target):
    data = ("--data-dir", place / "data", "--checkpoint", place / "run")
    return (command, *data, "--run-dir", target, *SHORT)


def embed_words(place, target):
    data = ("--data-dir", place / "data", "--checkpoint", place / "run")
    return ("embed", *data, "--out", target, "--workers", 0, "--device", "cpu")


#: Options that probe and finetune refuse, and words of the message.
REFUSED_OPTIONS = {
    "unknown lead": (("--leads", "II,V9"), "lead V9: the encoder has none of that name"),
    "batch of 1": (("--batch-size", 1), "batch-size: 1 is outside"),
    "number of classes": (("--num-classes", 3), "num-classes: 3 contradicts the 5 classes of"),
    "no fraction": (("--fraction", 0), "fraction: 0.0 is outside (0, 1]"),
    "whole and more": (("--fraction", 1.5), "fraction: 1.5 is outside"),
    "no epoch": (("--epochs", 0), "epochs: 0 is outside"),
    "seed": (("--seeds", -1), "seeds: -1 is outside"),
    "absent data": (("--data-dir", "absent"), "data-dir: absent is not a folder"),
    "absent checkpoint": (("--checkpoint", "absent"), "checkpoint: absent is not an encoder"),
}


def other_data(folder, leads=8, samples=128, classes="ab", bad=None):
    """An authors' folder with three files a class and split."""
    for i, split in enumerate(("train", "val", "test")):
        for name in classes:
            (folder / split / name).mkdir(parents=True)
            for number in range(3):
                signal = np.random.default_rng((number, i, ord(name))).normal(size=(leads, samples)).astype(np.float32)
                if bad is not None:
                    signal[0, 5] = bad
                np.save(folder / split / name / f"{number}.npy", signal)
    return folder
