"""Results as the last version without a format wrote them."""

from typing import Any

CLASSES = ["MI", "NORM"]


def _class_scores(threshold):
    return {
        "records": 6, "prior": 0.5, "auroc": 0.9, "auprc": 0.91, "threshold": threshold, "sensitivity": 0.8,
        "specificity": 0.7, "f1": 0.75,
    }  # fmt: skip


def _scores():
    return {
        "records": 12,
        "auroc": 0.9,
        "auprc": 0.91,
        "prior": 0.5,
        "f1": 0.75,
        "accuracy": 0.75,
        "balanced_accuracy": 0.75,
        "sensitivity": None,
        "specificity": None,
        "ece": 0.1,
        "absent_classes": [],
        "per_class": {"MI": _class_scores(0.4), "NORM": _class_scores(None)},
        "confusion_matrix": [[5, 1], [2, 4]],
    }


def results_of_a_trial() -> dict[str, Any]:
    """The content of a results.json of a single trial, without a format version."""
    bounds = {name: [0.8, 0.95] for name in ("auroc", "auprc", "accuracy", "f1", "balanced_accuracy")}
    intervals = {
        "level": 0.95,
        "n_draws": 1000,
        "seed": 0,
        "patients": 11,
        **bounds,
        "sensitivity": None,
        "specificity": None,
        "counted": dict.fromkeys((*bounds, "sensitivity", "specificity"), 1000),
        "per_class": {name: {"auroc": [0.8, 0.95], "auprc": None, "counted": 998} for name in CLASSES},
    }
    return {
        "kind": "probe",
        "lfbt_version": "0.1.0",
        "synthetic": True,
        "data": {
            "folder": "data",
            "hash": "e975ec",
            "names_assumed": False,
            "classes": CLASSES,
            "training_records": 147,
            "counts": {"train": {"MI": 23, "NORM": 61}, "val": {"MI": 4, "NORM": 6}, "test": {"MI": 6, "NORM": 6}},
        },
        "task": "single-label",
        "leads": ["II", "V1"],
        "lead_subset": None,
        "encoder": {"checkpoint": "pre", "history": {"method": "LFBT", "epochs_done": 4, "leads": []}},
        "classifier": "adam",
        "fraction": 1.0,
        "seed": 0,
        "folds": None,
        "settings": {"data_dir": "data", "fraction": [1.0], "c": [0.001, 0.01], "checkpoint": "pre"},
        "chosen": {"epoch": 3, "learning_rate": 0.001},
        "val_loss": 1.62,
        "test": _scores() | {"intervals": intervals},
        "val": _scores(),
    }
