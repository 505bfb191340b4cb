"""Render what was found on a GPU as Markdown, and as a few lines for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.gpu.protocol import hours
from lfbt.utils.tables import as_markdown

UNTRIED = "**Untried: none of this has been run on a GPU yet.**"
WRONG = ("wrong", "failed")
STEP_MS, PROTOCOL_HOURS = 40.0, 2.0

_TITLES = {
    "steps": "A pretraining step, from an idle device to an idle device, with views and the loss read back",
    "parts": "Where the time of a step of the shipped form goes",
    "kernels": "Kernels of a step of the shipped form in bf16 (on a CPU, operations)",
    "embed": "Embeddings, signals on the device",
    "rest": "Fine-tuning, probes and reading",
}
# What `--precision` offers; the other variants are candidates.
_SHIPPED = tuple(f"shipped, {precision}, CUDA graph" for precision in ("defaults", "bf16", "fp16"))


def render(results: Mapping[str, Any]) -> str:
    """The section of the documentation, from the content of the JSON file."""
    machine, checks, figures = results.get("machine", {}), list_checks(results), _figures(results)
    parts = []
    if machine.get("device", "cpu") == "cpu":
        parts.append(UNTRIED)
    if results.get("quick"):
        parts.append("**quick: sizes too small to mean anything**")
    if not checks and not figures:
        return "\n\n".join(parts) + "\n"
    parts.append(_machine(machine))
    parts.append(as_markdown([["target", "asked", "found", "reached"], *targets(results)]))
    counts = ", ".join(f"{n} {verdict}" for verdict, n in count(checks).items())
    rows = [
        [one["what"], one["verdict"], _number(one["value"]), _number(one["bound"]), _cell(one["note"])]
        for one in checks
    ]
    parts += [f"Checks: {counts}.", as_markdown([["check", "verdict", "found", "at most", "note"], *rows])]
    for table, title in _TITLES.items():
        own = [one for one in figures if one["table"] == table]
        if own:
            columns = list(dict.fromkeys(name for one in own for name in one["values"]))
            lines = [[_cell(one["what"]), *(_number(one["values"].get(name)) for name in columns)] for one in own]
            parts += [f"{title}:", as_markdown([["what", *columns], *lines])]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def summary(results: Mapping[str, Any]) -> str:
    """A few lines: the device, how many checks have which verdict, those that are wrong, the targets, the steps."""
    checks = list_checks(results)
    lines = [_machine(results["machine"]), ", ".join(f"{n} {verdict}" for verdict, n in count(checks).items())]
    for one in checks:
        if one["verdict"] in WRONG:
            found = f" {_number(one['value'])} > {_number(one['bound'])}" if one["value"] is not None else ""
            lines.append(f"{one['verdict'].upper()} {one['what']}:{found} {one['note']}".rstrip())
    lines += [f"{what}: {found} ({asked}: {reached})" for what, asked, found, reached in targets(results)]
    steps = sorted((one["values"]["ms"], one["what"]) for one in _figures(results) if one["table"] == "steps")
    lines += [f"{what}: {_number(took)} ms" for took, what in steps[:5]]
    return "\n".join(lines)


def list_checks(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """All checks, in the order of the items."""
    return [check for item in results.get("items", {}).values() for check in item["checks"]]


def count(checks: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """How many checks have each verdict."""
    verdicts = [one["verdict"] for one in checks]
    return {verdict: verdicts.count(verdict) for verdict in ("right", "wrong", "failed", "not available")}


def targets(results: Mapping[str, Any]) -> Iterator[list[str]]:
    """Rows of what was to be reached on a GPU of the H100's class."""
    values = {(one["table"], one["what"]): one["values"] for one in _figures(results)}
    steps = {what: found["ms"] for (table, what), found in values.items() if table == "steps"}
    offered = {what: took for what, took in steps.items() if what in _SHIPPED}
    rest = {what: found["ms"] for (table, what), found in values.items() if table == "rest"}
    finetune = rest.get("step of fine-tuning in fp32")
    probe = next((took for what, took in rest.items() if what.startswith("linear probe")), None)
    rates = [found["records/s in fp32"] for (table, _), found in values.items() if table == "embed"]
    for name, among in (("as shipped", offered), ("fastest candidate", steps)):
        best = min(among, key=among.__getitem__, default=None)
        took = None if best is None else among[best]
        counts = results["machine"]["device"] != "cpu" and not results["quick"]
        yield _target(f"pretraining step, {name} ({best})", STEP_MS, took, "ms", counts)
        total = None
        if took is not None and finetune is not None and probe is not None and rates:
            total = hours(took, finetune, max(rates), probe)["in all"]
        yield _target(f"paper's protocol from such steps ({best})", PROTOCOL_HOURS, total, "h", counts)


def _target(what: str, limit: float, found: float | None, unit: str, counts: bool) -> list[str]:
    reached = "not measured" if found is None or not counts else "yes" if found <= limit else "no"
    return [what, f"≤ {limit:g} {unit}", "–" if found is None else f"{_number(found)} {unit}", reached]


def _figures(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [figure for item in results.get("items", {}).values() for figure in item["figures"]]


def _machine(machine: Mapping[str, Any]) -> str:
    text = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in machine.items() if value not in ("", []))
    return f"Run on {text}."


def _number(value: float | str | None) -> str:
    if value is None or isinstance(value, str):
        return value or "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _cell(text: str) -> str:
    return text.replace("|", "¦").replace("\n", " ")
