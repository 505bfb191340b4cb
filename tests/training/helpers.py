"""What the tests of pretraining share: what a run wrote, and ways to corrupt a file."""

from tests.outputs import assert_same_tensors, read_lines

from lfbt.utils.tensors import load_tensors


def learned(run_dir):
    """The weights of a run: the encoder's, and all that resuming needs."""
    encoder = load_tensors(run_dir / "encoder" / "model.safetensors")
    state = load_tensors(checkpoints(run_dir)[-1])
    # Durations differ from run to run.
    state["progress"] = state["progress"][:5]
    return encoder, state


def checkpoints(run_dir):
    """The checkpoints of a run, by step."""
    return sorted((run_dir / "checkpoints").glob("step-*.safetensors"))


def assert_same_run(one, other):
    """Bit by bit the same weights, and the same history but for durations."""
    for mine, theirs in zip(learned(one), learned(other), strict=True):
        assert_same_tensors(mine, theirs)
    lines = [read_lines(run_dir / "history.jsonl") for run_dir in (one, other)]
    for line in [*lines[0], *lines[1]]:
        del line["seconds"], line["records_per_second"]
    assert lines[0] == lines[1]


def cut_short(path):
    path.write_bytes(path.read_bytes()[:-10])


def change_a_bit(path):
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)


def empty(path):
    path.write_bytes(b"")
