"""Reports need no torch."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("module", ["comparison", "page", "run_list"])
def test_reports_do_not_import_torch(module):
    code = f"import sys, lfbt.reports.{module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
