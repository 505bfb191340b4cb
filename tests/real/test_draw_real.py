"""Clinical files of ../shared/data/formats drawn: twelve leads at the scale of the paper."""

import re

import pytest
from tests.cli.helpers import output_of
from tests.real.test_formats_real import READABLE

from lfbt.recording import STANDARD_LEADS

pytestmark = pytest.mark.real


@pytest.mark.parametrize("name", READABLE)
def test_clinical_file_is_drawn_with_its_leads_and_scale(shared_data, tmp_path, name):
    out = tmp_path / "a.svg"
    said = output_of("draw", shared_data / "formats" / name, "--out", out)
    assert "25 mm/s, 10 mm/mV; " in said
    assert f"{READABLE[name][1]} Hz" in said
    text = out.read_text()
    assert set(re.findall('data-lead="([^"]+)"', text)) == set(STANDARD_LEADS)
    assert f"{READABLE[name][1]} Hz; traces about their medians</text>" in text
