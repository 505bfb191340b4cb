"""Counters as text."""

from lfbt.serving.metrics import Metrics, resident_bytes


def test_metrics_are_prometheus_text():
    metrics = Metrics()
    assert metrics.seconds_per_answer == 1
    for status in (200, 200, 503):
        metrics.count_response("/predict", status)
    metrics.count_answer(0.25)
    metrics.count_answer(0.75)
    assert metrics.seconds_per_answer == 0.5
    lines = metrics.to_text({"lfbt_admitted": ("Uploads.", 3)}).splitlines()
    assert [line for line in lines if not line.startswith("#")] == [
        'lfbt_responses_total{path="/predict",status="200"} 2',
        'lfbt_responses_total{path="/predict",status="503"} 1',
        "lfbt_answer_seconds_sum 1",
        "lfbt_answer_seconds_count 2",
        "lfbt_admitted 3",
    ]
    assert "# TYPE lfbt_admitted gauge" in lines
    assert "# TYPE lfbt_responses_total counter" in lines


def test_resident_bytes_is_the_memory_of_a_python():
    assert 10e6 < resident_bytes() < 100e9
