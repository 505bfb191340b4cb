"""The map and the neighbours."""

import importlib.util

import pytest

from lfbt.reports import embedding_map as module
from lfbt.reports.blocks import Charts, Fold, Heading, Paragraph, Table
from lfbt.reports.embedding_map import embedding_map
from lfbt.reports.encoders import load_best
from lfbt.reports.material import gather
from lfbt.runs.loading import load_runs


def section_of(trained, name):
    material = gather(load_runs(trained / name))
    return material, embedding_map(material, load_best(material, with_head=False))


def test_points_are_coloured_by_class_split_and_sex(trained):
    _, section = section_of(trained, "probe")
    block = next(block for block in section.blocks if isinstance(block, Charts))
    by_class, by_split, by_sex = block.charts
    assert sorted(name for _, name in by_class.legend) == ["fast (16)", "middle (16)", "slow (16)"]
    assert [name for _, name in by_split.legend] == ["train (24)", "val (12)", "test (12)"]
    assert [name for _, name in by_sex.legend] == ["female (16)", "male (16)", "not known (16)"]
    assert sum(mark.d.count("M") for mark in by_class.marks) == 48


def test_records_of_several_classes_are_a_colour_of_their_own(trained):
    _, section = section_of(trained, "multi")
    block = next(block for block in section.blocks if isinstance(block, Charts))
    assert "several (12)" in [name for _, name in block.charts[0].legend]
    assert len(block.charts) == 2


def test_neighbours_are_of_the_surest_mistake_or_hit_and_drawn(trained):
    material, section = section_of(trained, "probe")
    (table,) = (block for block in section.blocks if isinstance(block, Table))
    chosen = str(table.rows[0].cells[0])
    assert chosen in material.trials["probe"][0].predictions.ids
    assert len(table.rows) == 6
    cosines = [float(str(row.cells[-1])) for row in table.rows]
    assert cosines == sorted(cosines, reverse=True)
    (fold,) = (block for block in section.blocks if isinstance(block, Fold))
    assert len(fold.blocks) == 2


def test_a_large_data_set_is_drawn_from_and_said(trained, monkeypatch):
    monkeypatch.setattr(module, "MOST_RECORDS", 20)
    _, section = section_of(trained, "probe")
    assert "20 of 48 records, drawn by chance (seed 0)" in section.blocks[0].text
    assert any(isinstance(block, Table) for block in section.blocks)


def test_umap_is_shown_where_it_is_installed(trained, monkeypatch):
    monkeypatch.setattr(module, "_umap", lambda embeddings: embeddings[:, :2])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    _, section = section_of(trained, "probe")
    assert [block.text for block in section.blocks if isinstance(block, Heading)][:2] == [
        "Principal components",
        "UMAP",
    ]


@pytest.mark.skipif(importlib.util.find_spec("umap") is not None, reason="UMAP is installed")
def test_without_umap_there_are_principal_components_only(trained):
    _, section = section_of(trained, "probe")
    assert "UMAP" not in [block.text for block in section.blocks if isinstance(block, Heading)]


def test_no_encoder_is_a_line(trained):
    _, section = section_of(trained, "folds")
    (block,) = section.blocks
    assert isinstance(block, Paragraph)
    assert block.text.endswith("so there is no map.")
