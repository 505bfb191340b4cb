"""Model cards: read back by the hub's own parser and by YAML, whatever the names are."""

import dataclasses
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.runs.helpers import results_of_a_trial

from lfbt.inference.model_card import model_card
from lfbt.models.config import EncoderCard, EncoderConfig
from lfbt.runs.results import Results, SubsetScores

hub = pytest.importorskip("huggingface_hub", reason="an extra: pip install 'lfbt[hub]'")
yaml = pytest.importorskip("yaml")

CONFIG = EncoderConfig(("II", "V1"), 100, 1000)
CARD = EncoderCard.create(CONFIG, {"method": "LFBT", "epochs_done": 4, "exclude": None, "leads": []})
RESULTS = msgspec.convert(results_of_a_trial(), Results)


def metadata_of(text: str) -> Any:
    return hub.ModelCard(text).data


def rows_of(text, title):
    """The rows of the table under a title, each a list of cells."""
    part = text.split(f"\n## {title}\n")[1].split("\n## ")[0]
    return [line.strip("| ").split(" | ") for line in part.splitlines() if line.startswith("|")][2:]


def test_model_card_without_results_says_what_the_hub_needs_and_claims_no_figures():
    text = model_card(CARD, name="me/ecg", license_id="mit")
    data = metadata_of(text)
    assert (data.library_name, data.license, data.pipeline_tag) == ("lfbt", "mit", "feature-extraction")
    assert {"ecg", "self-supervised-learning"} <= set(data.tags)
    assert data.eval_results is None
    assert "None were given." in text
    assert "license" not in metadata_of(model_card(CARD)).to_dict()


@pytest.mark.parametrize(
    "words",
    [
        "| leads | II, V1 |",
        "| sampling rate | 100 Hz |",
        "| samples | 1000 (10 s) |",
        "| normalisation | z-score over the record |",
        "| embedding | 2 leads × 64 = 128 |",
        "encoder = lfbt.load_encoder('me/ecg')",
        "encoder.embed(signals, leads='II,V1', sampling_rate=500",
        "| method | LFBT |",
        "| epochs_done | 4 |",
        "not a medical device",
    ],
)
def test_model_card_states_the_input_the_history_and_the_use(words):
    assert words in model_card(CARD, name="me/ecg")


def test_model_card_leaves_out_what_the_history_does_not_have():
    assert [row[0] for row in rows_of(model_card(CARD), "Training")] == ["method", "epochs_done"]


@pytest.mark.parametrize("normalisation", ["record", "lead", "none"])
def test_model_card_describes_every_normalisation(normalisation):
    config = dataclasses.replace(CONFIG, normalisation=normalisation)
    text = model_card(EncoderCard.create(config, {}))
    assert {"record": "over the record", "lead": "of each lead", "none": "voltages in mV"}[normalisation] in text


def test_model_card_has_the_figures_of_results_for_the_hub():
    data = metadata_of(model_card(CARD, [RESULTS, dataclasses.replace(RESULTS, seed=1)], name="me/ecg"))
    assert data.model_name == "me/ecg"
    figures = [one for one in data.eval_results if one.metric_args["seed"] == 0]
    assert {(one.metric_type, one.metric_value) for one in figures} == {("roc_auc", 0.9), ("auprc", 0.91), ("f1", 0.75)}
    (auroc,) = (one for one in figures if one.metric_type == "roc_auc")
    assert (auroc.metric_name, auroc.metric_args["interval"], auroc.metric_args["level"]) == (
        "macro AUROC",
        [0.8, 0.95],
        0.95,
    )
    assert (auroc.dataset_type, auroc.dataset_name, auroc.dataset_split) == ("data", "data (synthetic)", "test")
    assert auroc.dataset_revision == "e975ec"
    assert auroc.task_name == "ECG classification, single-label: linear probe (adam)"
    assert len(data.eval_results) == 6


def test_model_card_has_the_figures_of_results_for_people():
    (row,) = rows_of(model_card(CARD, [RESULTS]), "Figures")
    assert row == [
        "linear probe (adam)",
        "data (synthetic)",
        "MI, NORM",
        "all",
        "1",
        "0",
        "12",
        "0.9000 [0.800, 0.950]",
        "0.9100 [0.800, 0.950]",
        "0.7500 [0.800, 0.950]",
    ]


def test_model_card_has_no_figure_that_does_not_exist():
    test = dataclasses.replace(RESULTS.test, auroc=None, intervals=None)
    text = model_card(CARD, [dataclasses.replace(RESULTS, test=test, folds=3, kind="finetune", classifier=None)])
    kinds = {one.metric_type: one for one in metadata_of(text).eval_results}
    assert sorted(kinds) == ["auprc", "f1"]
    assert "interval" not in kinds["f1"].metric_args
    assert kinds["f1"].metric_args["folds"] == 3
    (row,) = rows_of(text, "Figures")
    assert (row[0], row[1], row[7], row[8]) == ("fine-tuned", "data (synthetic), 3 folds", "-", "0.9100")


@given(st.text())
def test_model_card_names_survive_yaml(name):
    folder = dataclasses.replace(RESULTS.data, folder=name)
    text = model_card(CARD, [dataclasses.replace(RESULTS, data=folder)], name=name, license_id=name)
    data = yaml.safe_load(text.split("\n---\n")[0].removeprefix("---\n"))
    assert (data["license"], data["model-index"][0]["name"]) == (name, name)
    assert data["model-index"][0]["results"][0]["dataset"]["type"] == name


@given(st.text(), st.text())
def test_model_card_tables_have_one_line_a_row(key, value):
    text = model_card(EncoderCard.create(CONFIG, {"first": 1, f"key{key}": f"value{value}", "last": 2}))
    rows = rows_of(text, "Training")
    assert len(rows) == 3


def test_model_card_has_the_figures_of_subsets_that_the_same_classifier_serves():
    test = dataclasses.replace(RESULTS.test, auroc=0.75)
    served = dataclasses.replace(RESULTS, by_lead_subset={"limb": SubsetScores(["II"], test, None)})
    text = model_card(CARD, [served])
    assert [row[3] for row in rows_of(text, "Figures")] == ["all", "II (the same classifier)"]
    first, second = metadata_of(text).eval_results[0], metadata_of(text).eval_results[3]
    assert (first.metric_args["leads"], second.metric_args["leads"]) == (RESULTS.leads, ["II"])
    assert (first.metric_value, second.metric_value) == (RESULTS.test.auroc, 0.75)


def test_model_card_has_the_means_without_rare_classes():
    row = dataclasses.replace(RESULTS.test.per_class["MI"], records=10, auroc=0.8, auprc=0.7)
    per_class = {"a": row, "b": row, "c": dataclasses.replace(row, records=9)}
    test = dataclasses.replace(RESULTS.test, per_class=per_class, intervals=None)
    (cells,) = rows_of(model_card(CARD, [dataclasses.replace(RESULTS, test=test)]), "Figures")
    assert cells[-3:] == ["0.9000 (without c 0.8000)", "0.9100 (without c 0.7000)", "0.7500"]
