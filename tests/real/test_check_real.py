"""`lfbt check` on ../shared/data, against correlations of the raw files that do not pass through lfbt."""

import shutil

import numpy as np
import pytest
import scipy.io

from lfbt.audit.checks import CheckSettings, check
from lfbt.audit.fingerprints import FINGERPRINTS
from lfbt.audit.leakage import check_leakage
from lfbt.cli.app import main
from lfbt.recording import STANDARD_LEADS

pytestmark = pytest.mark.real

ALL = ("--leads", ",".join(STANDARD_LEADS))

#: Pairs of records 1 to 500 of PTB-XL 1.0.3 with the same signals; the last is of two patients.
DUPLICATES_IN_PTBXL = {("137", "138"), ("143", "144"), ("456", "457"), ("459", "460"), ("145", "463")}


def prepare(source, folder, target, *options):
    main(["prepare", source, str(folder), str(target), "--workers", "1", *options])
    return target


def raw_ptbxl(folder):
    """Records 1 to 500 ``[records, 12 leads, 5000]`` in steps of 1 µV."""
    files = sorted((folder / "records500").rglob("*.dat"))
    return np.stack([np.fromfile(file, "<i2").reshape(5000, 12).T for file in files])


def raw_challenge(folder, prefix):
    """The first ten seconds ``[records, 12 leads, 5000]`` of the Challenge's records at 500 Hz, and their names."""
    files = sorted(folder.glob(f"{prefix}*.mat"))
    signals = [scipy.io.loadmat(file)["val"][:, :5000] for file in files]
    long = [i for i, signal in enumerate(signals) if signal.shape == (12, 5000)]
    return np.stack([signals[i] for i in long]), [files[i].stem for i in long]


def find_correlated(first, second):
    """Index pairs whose complete signals correlate by 0.95 or more, in either sign, mean over the leads."""
    scores = []
    for signals in (first, second):
        centred = signals - signals.mean(axis=2, keepdims=True, dtype=np.float64)
        size = np.linalg.norm(centred, axis=2, keepdims=True)
        scores.append((centred / np.maximum(size, 1e-9)).astype(np.float32))
    mean = sum(scores[0][:, lead] @ scores[1][:, lead].T for lead in range(12)) / 12
    return set(map(tuple, np.argwhere(np.abs(mean) >= 0.95).tolist()))


def pairs(report, a, b):
    """The pairs of copies across two data sets, by name, with those of the same group."""
    groups: dict[int, set[tuple[str, str]]] = {}
    for copy in report.copies:
        for k, row in (copy.first, copy.second):
            groups.setdefault(copy.group, set()).add((report.names[k], report.datasets[k].ids[row]))
    return {
        (one, other)
        for members in groups.values()
        for of_one, one in members
        for of_other, other in members
        if (of_one, of_other) == (a, b) and (a != b or int(one) < int(other))
    }


def test_check_finds_the_duplicates_in_ptbxl(shared_data, tmp_path):
    """The truth is established first, by correlation of the complete raw files."""
    raw = raw_ptbxl(shared_data / "ptbxl")
    truth = {(str(i + 1), str(j + 1)) for i, j in find_correlated(raw, raw) if i < j}
    assert truth == DUPLICATES_IN_PTBXL
    report = check(CheckSettings((prepare("ptbxl", shared_data / "ptbxl", tmp_path / "ptbxl", "--labels", "none"),)))
    assert pairs(report, "ptbxl", "ptbxl") == truth
    assert report.n_errors == 0
    messages = {finding.records: finding.message for finding in report.findings if finding.kind == "record twice"}
    assert "of 2 patients" in messages["145", "463"]
    assert "patients" not in messages["137", "138"]


def test_check_finds_no_overlap_of_ptbxl_and_the_challenge_at_hand(shared_data, tmp_path):
    """HR records are PTB-XL's of the same number: none of those at hand is among PTB-XL's first 500."""
    raw, names = raw_challenge(shared_data / "challenge", "HR")
    assert len(names) == 15
    assert min(int(name[2:]) for name in names) > 500
    assert find_correlated(raw_ptbxl(shared_data / "ptbxl"), raw) == set()
    ptbxl = prepare("ptbxl", shared_data / "ptbxl", tmp_path / "ptbxl", "--labels", "none", *ALL)
    challenge = prepare("challenge", shared_data / "challenge", tmp_path / "challenge")
    report = check(CheckSettings((ptbxl, challenge)))
    assert pairs(report, "ptbxl", "challenge") == set()
    everything, names = raw_challenge(shared_data / "challenge", "")
    twice = {(names[i], names[j]) for i, j in find_correlated(everything, everything) if i < j}
    assert twice == {("E07509", "E07510")}
    records = [finding.records for finding in report.findings if finding.data == ("challenge",)]
    unlike = {f.records for f in report.findings if f.kind.startswith("leads unlike those of the other records")}
    assert [of for of in records if of and of not in unlike] == [("E07509", "E07510")]
    assert not [finding for finding in report.findings if finding.kind.startswith(("limb leads contra", "saturated"))]


@pytest.fixture(scope="module")
def overlapping(shared_data, tmp_path_factory):
    """Records 1 to 120 of PTB-XL at 100 Hz with the official split, and at 500 Hz as the Challenge would have them."""
    place = tmp_path_factory.mktemp("overlapping")
    (place / "download").mkdir()
    for name in ("ptbxl_database.csv", "scp_statements.csv"):
        shutil.copyfile(shared_data / "ptbxl" / name, place / "download" / name)
    shutil.copytree(shared_data / "ptbxl" / "records100", place / "download" / "records100")
    (place / "hr").mkdir()
    for number, signal in enumerate(raw_ptbxl(shared_data / "ptbxl")[:120], start=1):
        name = f"HR{number:05d}"
        scipy.io.savemat(place / "hr" / f"{name}.mat", {"val": signal}, format="4")
        leads = [f"{name}.mat 16x1+24 1000.0(0)/mv 16 0 0 0 0 {lead}" for lead in STANDARD_LEADS]
        lines = [f"{name} 12 500 5000", *leads, "# Age: 60", "# Sex: Female", "# Dx: 426783006"]
        (place / "hr" / f"{name}.hea").write_text("\n".join(lines) + "\n")
    options = ("--labels", "none", "--n-samples", "512")
    return (
        prepare("ptbxl", place / "download", place / "ptbxl", *options),
        prepare("challenge", place / "hr", place / "challenge", "--n-samples", "1024", *ALL),
    )


def test_check_finds_ptbxl_records_under_their_challenge_names(overlapping):
    """At another rate, in other leads, by another way: all of them, and no other."""
    report = check(CheckSettings(overlapping))
    expected = {(str(n), f"HR{n:05d}") for n in range(1, 121)}
    assert pairs(report, "ptbxl", "challenge") == expected
    across = [copy for copy in report.copies if copy.first[0] != copy.second[0]]
    assert min(copy.share for copy in across) > 0.95
    assert min(copy.correlation for copy in across) > 0.99
    ptbxl = report.datasets[0]
    tested = {f"HR{int(ptbxl.ids[row]):05d}" for row in ptbxl.rows("test")} & {name for _, name in expected}
    assert len(tested) > 5
    excluded = {(report.names[k], report.datasets[k].ids[row]) for k, row in report.exclude}
    assert excluded == {("challenge", name) for name in tested}
    assert report.n_errors == len(tested)


def test_check_leakage_refuses_ptbxl_records_of_pretraining(overlapping, tmp_path):
    challenge = overlapping[1]
    leads = ("--leads", "II,V1,V5", "--device", "cpu", "--workers", "0", "--epochs", "1", "--projector", "8-8")
    words = ["pretrain", "--data-dir", str(challenge), "--run-dir", str(tmp_path / "run"), "--batch-size", "20", *leads]
    main([*words, "--quality-every", "0"])
    assert (tmp_path / "run" / "encoder" / FINGERPRINTS).is_file()
    report = check(CheckSettings(overlapping))
    dataset = report.datasets[0]
    with pytest.raises(ValueError, match=r"are among the records that .*run has learned from"):
        check_leakage(tmp_path / "run", dataset, dataset.rows("test"), allowed=False)
    unseen = np.array([row for row in range(len(dataset)) if int(dataset.ids[row]) > 120])
    check_leakage(tmp_path / "run", dataset, unseen, allowed=False)


def test_check_finds_swapped_and_saturated_leads_in_cinc2011(shared_data, tmp_path):
    """No copies; aVL and aVF stand for one another in all records, and four have leads at -80 mV for a while."""
    folder = shared_data / "cinc2011" / "acceptable"
    data = prepare("folder", folder, tmp_path / "cinc", *ALL, "--allow-implausible")
    report = check(CheckSettings((data,), allow_implausible=True))
    assert report.copies == ()
    kinds: dict[str, list[str]] = {}
    for finding in report.findings:
        kinds.setdefault(finding.kind, []).append(finding.records[0])
    swapped = kinds.pop("limb leads contradict each other: aVL and aVF swapped")
    unlike = {kind: kinds.pop(kind) for kind in list(kinds) if kind.startswith("leads unlike those of the other")}
    # Volunteers placed the electrodes.
    assert 0.01 * len(report.datasets[0]) < sum(map(len, unlike.values())) < 0.06 * len(report.datasets[0])
    assert {kind: sorted(records) for kind, records in kinds.items()} == {
        "saturated lead": ["1548723", "1765752", "1988935", "2191038"],
        "mains hum": ["1937641"],
    }
    n = len(report.datasets[0])
    assert len(swapped) >= n - 2
    # The same by regression of the file's two leads on its I and II: V = II - I/2 is aVF, and I - II/2 aVL.
    raw = np.fromfile(shared_data / "cinc2011" / "acceptable" / "1013179.dat", "<i2").reshape(-1, 12).T.astype(float)
    raw -= raw.mean(axis=1, keepdims=True)
    weights = np.linalg.lstsq(raw[:2].T, raw[4:6].T, rcond=None)[0]
    np.testing.assert_allclose(weights, [[-0.5, 1], [1, -0.5]], atol=0.02)
    steps = np.fromfile(shared_data / "cinc2011" / "acceptable" / "1765752.dat", "<i2").reshape(-1, 12)
    assert np.abs(steps[:400, 10] + 16000).max() < 100  # V5 within 0.5 mV of -80 mV for 0.8 s
