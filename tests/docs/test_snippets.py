"""Every command and every piece of Python in the documentation is run, or says why not."""

import functools
import os
import re
import shlex
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.cli.helpers import run
from tests.cli.test_help import FLAGS, examples_of
from tests.docs import snippets
from tests.docs.snippets import PAGES, SMALL, Block, blocks_of
from tests.factories import KINDS, LABELS, waves, write_checkpoint, write_labelled
from tests.inference.test_classifier import write_run

import lfbt

#: What a page needs and does not make: see `workshop`.
NEEDS: dict[str, tuple[str, ...]] = {
}


@pytest.fixture(scope="module")
def counts():
    """How many snippets were run, parsed and skipped, printed at the end (pytest -s)."""
    found: Counter[str] = Counter()
    yield found
    print("\n" + "\n".join(f"{n:5}  {what}" for what, n in sorted(found.items())))


def test_every_page(counts):
    pass
