"""Results as the last version without a format wrote them."""

from typing import Any

import pytest
from tests.runs.helpers import results_of_a_trial


@pytest.fixture
def results_content() -> dict[str, Any]:
    """The content of a results.json of a single trial, without a format version."""
    return results_of_a_trial()
