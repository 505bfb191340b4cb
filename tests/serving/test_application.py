"""The API by a client: every status, every limit, and whatever its own OpenAPI allows to be sent."""

import contextlib
import dataclasses
from concurrent.futures import ThreadPoolExecutor

import hypothesis
import numpy as np
import pytest
import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from tests.inference.test_prediction import MeanModel, SubsetModel
from tests.serving.helpers import ONE, STATED, SlowModel, npy, post, serving, signal, wfdb

import lfbt
from lfbt.inference.prediction import probabilities_of
from lfbt.serving.answers import Answerer
from lfbt.serving.application import create_application
from lfbt.serving.neighbours import TrainingRecords

ECG = [("ecg.npy", npy())]


@pytest.fixture(scope="module")
def client():
    with serving(MeanModel(thresholds=(0.1, None))) as client:
        yield client


def detail(response, status):
    assert response.status_code == status
    assert set(response.json()) == {"detail", "fields"}
    assert response.json()["detail"].isprintable()
    return response.json()["detail"]


def test_predict_answers_one_file(client):
    response = post(client, ECG, **STATED)
    assert response.status_code == 200
    answer = response.json()
    assert sum(answer["probabilities"].values()) == pytest.approx(1)
    assert answer["predicted"] == [max(answer["probabilities"], key=answer["probabilities"].get)]
    assert (answer["file"], answer["record"], answer["pieces"]) == ("ecg.npy", "ecg", 1)
    assert answer["thresholds"] == {"A": 0.1, "B": None}
    assert (answer["drawing"], answer["neighbours"], answer["of_pieces"]) == (None, None, None)


def test_predict_answers_a_header_with_its_signal_file(client, tmp_path):
    answer = post(client, wfdb(tmp_path), drawing="true").json()
    assert (answer["file"], len(answer["leads"]), answer["seconds"]) == ("ecg.hea", 12, 10)
    assert answer["drawing"].startswith("<svg ")


def test_predict_pools_and_answers_pieces(client):
    answer = post(client, [("ecg.npy", npy(signal(128)))], per_piece="true", **STATED).json()
    assert answer["pieces"] == 2
    assert [one["piece"] for one in answer["of_pieces"]] == [0, 1]
    each = np.log([[one["probabilities"][name] for name in "AB"] for one in answer["of_pieces"]])
    # The logits of two classes are known up to a constant, which the mean keeps.
    pooled = probabilities_of((each - each[:, :1]).mean(axis=0), exclusive=True)
    np.testing.assert_allclose([answer["probabilities"][name] for name in "AB"], pooled, atol=1e-9)


def test_embed_answers(client):
    answer = post(client, ECG, "/embed", **STATED).json()
    assert (len(answer["embedding"]), answer["encoder_leads"]) == (128, ["II", "V1"])
    assert "probabilities" not in answer


def test_an_encoder_alone_does_not_predict():
    model = MeanModel()
    model.classes, model.thresholds = (), ()  # type: ignore[assignment]
    with serving(model) as client:
        assert post(client, ECG, **STATED).status_code == 404
        assert "/predict" not in client.get("/openapi.json").json()["paths"]
        assert client.get("/health").json()["classes"] == []


def test_neighbours_are_there_where_they_are_known():
    records = TrainingRecords(("a", "b"), (("A",), ()), np.stack([np.zeros(128), np.ones(128)]).astype(np.float32))
    with serving(neighbours=records) as client:
        found = post(client, ECG, **STATED).json()["neighbours"]
    assert [(one["record"], one["labels"]) for one in found] == [("a", ["A"]), ("b", [])]


@pytest.mark.parametrize(
    ("files", "fields", "message", "named"),
    [
        (ECG, {}, "sampling_rate: none given, but ecg.npy does not state its own", ["sampling_rate"]),
        (ECG, STATED | {"leads": "II"}, "file ecg.npy: an array of shape [2, 64], not [1 leads, samples]", []),
        (ECG, STATED | {"sampling_rate": "fast"}, "sampling_rate: Input should be a valid number", ["sampling_rate"]),
        (ECG, STATED | {"sampling_rate": "nan"}, "sampling_rate: nan Hz is not above 0", ["sampling_rate"]),
        (ECG, STATED | {"unit": "inch"}, "unit: 'inch' is not a voltage", ["unit"]),
        (ECG, STATED | {"sampling_rat": "5"}, "sampling_rat: Extra inputs are not permitted", ["sampling_rat"]),
        ([("../ecg.npy", npy())], STATED, "files: '../ecg.npy' is no plain file name", ["files"]),
        ([("ecg.npy", b"")], STATED, "file ecg.npy: cannot be read", []),
        ([("ecg.txt", b"a")], {}, ".txt is not a format that lfbt reads", []),
        ([("a.csv", b""), ("b.csv", b"")], {}, "files: 2 files with 0 WFDB headers", ["files"]),
        ([("a.hea", b"a 1 500 10\n../../b.dat 16 1000\n")], {}, "../../b.dat is absent", []),
        ([("a.hea", b"a 1 500 10\n/etc/passwd 16 1000\n")], {}, "/etc/passwd is absent", []),
        ([("a.hea", b"a/2 1 500 10\nb 5\nc 5\n")], {}, "segments", []),
        ([("ecg.npy", npy(1000 * signal()))], STATED, "implausible", ["unit", "allow_implausible"]),
    ],
)
def test_predict_refuses_what_cannot_be_answered(client, files, fields, message, named):
    response = post(client, files, **fields)
    said = detail(response, 422)
    assert message in said
    assert response.json()["fields"] == named
    assert "lfbt-serve-" not in said


def test_predict_accepts_implausible_voltages_if_told(client):
    fields = STATED | {"allow_implausible": "true"}
    assert post(client, [("ecg.npy", npy(1000 * signal()))], **fields).status_code == 200


def test_fields_in_the_address_are_refused_instead_of_ignored(client):
    assert "sampling_rate" in detail(post(client, ECG, "/predict?sampling_rate=6.4"), 422)


def test_fields_that_are_given_twice_are_refused(client):
    for second in ("mV", "uV"):
        response = client.post("/predict", files=[("files", ECG[0])], data=STATED | {"unit": ["mV", second]})
        assert detail(response, 422) == "unit: given several times; give each field once"
        assert response.json()["fields"] == ["unit"]


def test_a_field_of_text_in_place_of_a_file_is_refused_with_what_to_do(client):
    """As curl sends it without the @."""
    said = detail(client.post("/predict", data={"files": "ecg.npy"}, files={"x": b""}), 422)
    assert "files.0: is text, not a file; send its content with its name, as curl -F files=@ecg.dcm does" in said


def test_health_names_the_leads_that_suffice():
    with serving(SubsetModel()) as client:
        assert client.get("/health").json()["lead_subsets"] == [["II"]]
        answer = post(client, [("ecg.npy", npy(signal(n_leads=1)))], leads="II", sampling_rate="6.4").json()
    assert (answer["leads_used"], answer["thresholds"]) == (["II"], {"A": 0.0, "B": None})


def test_requests_that_are_no_form_are_refused(client):
    assert "files: Field required" in detail(client.post("/predict"), 422)
    assert "files" in detail(client.post("/predict", json={"files": []}), 422)
    # As curl --data-binary sends it.
    bare = {"content": b"&" * 99, "headers": {"content-type": "application/x-www-form-urlencoded"}}
    assert "curl -F files=@ecg.scp" in detail(client.post("/predict", **bare), 422)
    broken = {"content": b"--b\r\nno header", "headers": {"content-type": "multipart/form-data; boundary=b"}}
    detail(client.post("/predict", **broken), 400)
    detail(client.post("/predict", content=b"x", headers={"content-type": "multipart/form-data"}), 400)
    detail(client.get("/nowhere"), 404)
    detail(client.get("/predict"), 405)


def test_limits_of_uploads():
    limits = dataclasses.replace(ONE, upload_mb=0.01, upload_files=2, recording_seconds=20, recording_values=500)
    with serving(limits=limits) as client:
        assert post(client, ECG, **STATED).status_code == 200
        assert "more than 0.01 MB" in detail(post(client, [("ecg.npy", b"x" * 10_000)], **STATED), 413)

        def chunks():
            for _ in range(20):
                yield b"x" * 1000

        form = {"content-type": "multipart/form-data; boundary=b"}
        assert "more than 0.01 MB" in detail(client.post("/predict", content=chunks(), headers=form), 413)
        assert "Too many files" in detail(post(client, ECG * 3, **STATED), 400)
        said = detail(post(client, [("ecg.npy", npy(signal(129)))], **STATED), 413)
        assert said.startswith("file ecg.npy: 2 leads, 129 samples, 20.16 s are more than the server takes")
        said = detail(
            post(client, [("ecg.npy", npy(signal(64, 8)))], leads="a,b,c,d,e,f,g,h", sampling_rate="6.4"), 413
        )
        assert "8 leads, 64 samples" in said


def test_uploads_beyond_the_queue_are_asked_to_come_again_and_the_others_answered():
    model = SlowModel()
    with serving(model, dataclasses.replace(ONE, queue=1)) as client, ThreadPoolExecutor(2) as pool:
        first = pool.submit(post, client, ECG, **STATED)
        assert model.began.wait(60)
        second = pool.submit(post, client, ECG, **STATED)
        while client.get("/health").json()["admitted"] < 2:
            assert not second.done()
        refused = post(client, ECG, **STATED)
        assert "busy: 2 uploads are waiting" in detail(refused, 503)
        assert 1 <= int(refused.headers["retry-after"]) <= 30
        assert 'lfbt_responses_total{path="/predict",status="503"} 1' in client.get("/metrics").text
        model.may_go.set()
        assert [first.result().status_code, second.result().status_code] == [200, 200]
        assert post(client, ECG, **STATED).status_code == 200


def test_uploads_that_wait_too_long_are_asked_to_come_again():
    model = SlowModel()
    with serving(model, dataclasses.replace(ONE, wait_seconds=0.1)) as client, ThreadPoolExecutor(2) as pool:
        first = pool.submit(post, client, ECG, **STATED)
        assert model.began.wait(60)
        second = pool.submit(post, client, ECG, **STATED)
        with contextlib.suppress(TimeoutError):
            second.result(timeout=0.5)
        model.may_go.set()
        assert first.result().status_code == 200
        detail(second.result(), 503)


def test_health_says_what_is_served(client):
    health = client.get("/health").json()
    assert (health["status"], health["version"], health["model"]) == ("ok", lfbt.__version__, "small")
    assert (health["classes"], health["leads"], health["seconds"]) == (["A", "B"], ["II", "V1"], 10)
    assert (health["admitted"], health["admitted_at_most"]) == (0, ONE.queue + 1)
    assert health["limits"]["upload_mb"] == ONE.upload_mb
    assert "Not a medical device" in health["notice"]


def test_metrics_are_text_for_prometheus(client):
    response = client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert "lfbt_admitted_at_most 33" in response.text
    client.get("/no-such-path-1")
    assert 'path="other",status="404"' in client.get("/metrics").text
    assert "no-such-path" not in client.get("/metrics").text


def test_openapi_has_typed_answers_and_no_page_loads_anything(client):
    schema = client.get("/openapi.json").json()
    assert set(schema["paths"]) == {"/predict", "/embed", "/health", "/metrics"}
    for path, name in (("/predict", "Prediction"), ("/embed", "Embedding")):
        responses = schema["paths"][path]["post"]["responses"]
        assert responses["200"]["content"]["application/json"]["schema"]["$ref"].endswith(f"/{name}")
        assert set(responses) == {"200", "400", "403", "408", "413", "421", "422", "503"}
        assert all("Problem" in str(responses[status]) for status in set(responses) - {"200"})
    assert client.get("/docs").status_code == client.get("/redoc").status_code == 404


def test_other_hosts_and_sites_are_refused(client):
    assert detail(client.get("/health", headers={"host": "evil.example"}), 421).startswith("host: 'evil.example'")
    assert detail(client.get("/", headers={"origin": "http://evil.example"}), 403).startswith("origin:")
    response = client.options(
        "/predict", headers={"origin": "http://localhost", "access-control-request-method": "POST"}
    )
    assert not [name for name in response.headers if name.startswith("access-control")]


def test_page_has_a_policy_that_allows_nothing_from_elsewhere(client):
    response = client.get("/")
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in response.headers["content-security-policy"]
    assert "unsafe" not in response.headers["content-security-policy"]


@pytest.fixture(scope="module")
def api():
    with contextlib.closing(Answerer(MeanModel(), ONE)) as answerer:
        # Schemathesis gives the application a host name of its own.
        app = create_application(answerer, "small", ONE, only_local=False)
        yield schemathesis.openapi.from_asgi("/openapi.json", app)


@pytest.mark.parametrize("operation", ["POST /predict", "POST /embed", "GET /health", "GET /metrics"])
def test_whatever_the_openapi_allows_is_answered_as_it_says(api, operation):
    method, path = operation.split()

    @hypothesis.settings(max_examples=40, suppress_health_check=list(hypothesis.HealthCheck))
    @hypothesis.given(case=api[path][method].as_strategy())
    def check(case):
        case.call_and_validate(
            checks=[not_a_server_error, response_schema_conformance, status_code_conformance, content_type_conformance]
        )

    check()


def test_head_is_answered_as_get_is_without_the_body():
    with serving(MeanModel()) as client:
        for path in ("/", "/health", "/openapi.json", "/no-such-path", "/predict"):
            head, get = client.head(path), client.get(path)
            assert head.content == b""
            assert get.content
            assert (head.status_code, head.headers) == (get.status_code, get.headers)
        assert detail(client.get("/", headers={"host": "evil.example"}), 421)
        refused = client.head("/", headers={"host": "evil.example"})
        assert (refused.status_code, refused.content) == (421, b"")
        assert set(client.get("/openapi.json").json()["paths"]["/health"]) == {"get"}
