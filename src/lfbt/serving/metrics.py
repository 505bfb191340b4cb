"""What the server counts, as text in the format of Prometheus."""

from __future__ import annotations

import collections
import threading
from collections.abc import Mapping
from pathlib import Path

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Counters since the start; safe to use from several threads.

    Examples
    --------
    >>> metrics = Metrics()
    >>> metrics.count_response("/predict", 200)
    >>> print(metrics.to_text({"lfbt_admitted": ("Uploads admitted.", 1)}).splitlines()[2])
    lfbt_responses_total{path="/predict",status="200"} 1
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._responses: collections.Counter[tuple[str, int]] = collections.Counter()
        self._answers = 0
        self._seconds = 0.0

    def count_response(self, path: str, status: int) -> None:
        """Count a response; `path` is one of few."""
        with self._lock:
            self._responses[path, status] += 1

    def count_answer(self, seconds: float) -> None:
        """Count a recording that was read and computed in so many seconds, without the time it waited."""
        with self._lock:
            self._answers += 1
            self._seconds += seconds

    @property
    def seconds_per_answer(self) -> float:
        """Mean over all answers; a second before the first."""
        with self._lock:
            return self._seconds / self._answers if self._answers else 1.0

    def to_text(self, gauges: Mapping[str, tuple[str, float]]) -> str:
        """Write all counters, and `gauges` with their help and value."""
        with self._lock:
            responses, answers, seconds = sorted(self._responses.items()), self._answers, self._seconds
        lines = ["# HELP lfbt_responses_total Responses by path and status.", "# TYPE lfbt_responses_total counter"]
        lines += [f'lfbt_responses_total{{path="{path}",status="{status}"}} {n}' for (path, status), n in responses]
        lines += [
            "# HELP lfbt_answer_seconds Time to read and compute a recording.",
            "# TYPE lfbt_answer_seconds summary",
        ]
        lines += [f"lfbt_answer_seconds_sum {seconds:g}", f"lfbt_answer_seconds_count {answers}"]
        for name, (help_text, value) in gauges.items():
            lines += [f"# HELP {name} {help_text}", f"# TYPE {name} gauge", f"{name} {value:.15g}"]
        return "\n".join(lines) + "\n"


def resident_bytes() -> int:
    """Return the memory of this process; 0 where the system does not tell."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0
    found = [line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(found[0]) * 1024 if found else 0
