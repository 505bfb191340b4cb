"""A classifier gives the same answers by every way of asking, and an ECG the same embedding from every format."""

from benchmarks.same_answers import EXPORTS, same_answers, same_embedding


def test_a_classifier_answers_alike_by_shell_python_onnx_without_torch_and_http(shared_data, tmp_path):
    ways = same_answers(shared_data, tmp_path, epochs=1, fraction=0.1)
    assert len(ways) == 4
    for way in ways:
        assert way.records == 55
        assert way.difference <= 1e-5, way.name
        assert way.called_otherwise == 0, way.name


def test_exports_of_one_ecg_have_the_same_samples_and_the_same_embedding(shared_data, tmp_path):
    found = same_embedding(shared_data, tmp_path)
    assert {name.rpartition(".")[2] for name in EXPORTS} == {"scp", "dcm", "xml"}
    assert list(found.values()) == [(0, 0)] * len(EXPORTS)
