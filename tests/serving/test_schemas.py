"""What the API takes and returns."""

import pytest
from pydantic import ValidationError

from lfbt.serving.schemas import Problem, RecordingForm


def test_recording_form_refuses_fields_that_it_does_not_have():
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        RecordingForm.model_validate({"files": [], "sampling_rat": 500})


def test_problem_names_fields_only_where_there_are_some():
    assert Problem(detail="no").model_dump() == {"detail": "no", "fields": []}
