"""How long the paper's protocol would take: its steps, times the time of one."""

from __future__ import annotations

from lfbt.paper.protocol import GAMMAS, LABELLED, SIZES, list_cells

_EPOCHS = {"pretrain": 200, "finetune": 100, "probe": 100}
_BATCH = 128


def sizes_of(name: str) -> tuple[int, int, int]:
    """Records of the paper's data set in train, val and test."""
    return next(iter(SIZES[name].values()))


def n_batches(n_records: float) -> int:
    """Batches of an epoch."""
    return -(-int(n_records) // _BATCH)


def pretraining_steps() -> int:
    """Steps of both pretrainings.

    >>> pretraining_steps()
    109200
    """
    return len(GAMMAS) * _EPOCHS["pretrain"] * n_batches(sizes_of("ningbo")[0])


def classifier_work() -> tuple[int, int, int]:
    """Of one seed of all classifiers: steps of fine-tuning, records embedded, and epochs of probes."""
    steps = records = epochs = 0
    for cell in list_cells(list(LABELLED)):
        train, val, test = sizes_of(cell.data)
        if cell.kind == "probe":
            records += train + val + test
            epochs += _EPOCHS["probe"]
        else:
            steps += _EPOCHS["finetune"] * n_batches(train * cell.fraction)
            records += _EPOCHS["finetune"] * val + test
    return steps, records, epochs


def hours(step_ms: float, finetune_ms: float, embed_rate: float, probe_ms: float) -> dict[str, float]:
    """Hours of the parts of the protocol, and in all; preparing and reading are not among them."""
    steps, records, epochs = classifier_work()
    found = {
        "pretraining, both γ": pretraining_steps() * step_ms / 1e3,
        "fine-tuning and from scratch, one seed": steps * finetune_ms / 1e3 + records / embed_rate,
        "probes": epochs * probe_ms / 1e3,
    }
    found = {name: seconds / 3600 for name, seconds in found.items()}
    return found | {"in all": sum(found.values())}
