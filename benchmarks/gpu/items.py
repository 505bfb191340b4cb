"""What the command runs, in order: each item by its name, with its limit of time."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence

from benchmarks.gpu import agreement, commands, forms, measures, ranks, resuming, variants
from benchmarks.gpu.results import Found, Place


@dataclasses.dataclass(frozen=True)
class Item:
    """Checks or measurements made together, and the seconds after which they are ended."""

    run: Callable[[Place], Found]
    limit: float


def _steps(names: dict[str, variants.Variant], limit: float) -> dict[str, Item]:
    return {
        f"step:{name.replace(', ', ':').replace(' ', '-')}": Item(functools.partial(variants.step, variant), limit)
        for name, variant in names.items()
    }


#: What answers most comes first, and what takes long last: the whole run has a limit, too.
ITEMS: dict[str, Item] = {
    "views": Item(agreement.views, 60),
    "single-precision": Item(agreement.single_precision, 120),
    "half-precision": Item(agreement.half_precision, 90),
    "low-memory": Item(agreement.low_memory, 60),
    "resumed": Item(resuming.resumed, 60),
    "recorded": Item(resuming.recorded, 60),
    "embeddings": Item(commands.embeddings, 60),
    "reading-ahead": Item(commands.reading_ahead, 30),
    "probe": Item(commands.probe, 60),
    "forms": Item(forms.equal_forms, 60),
    **_steps(dict(list(variants.VARIANTS.items())[:12]), 40),
    "parts": Item(measures.parts, 60),
    "kernels": Item(measures.kernels, 60),
    "embed": Item(measures.embed, 60),
    "rest": Item(measures.rest, 90),
    "out-of-memory": Item(commands.out_of_memory, 60),
    "pretrain": Item(resuming.by_command, 90),
    "finetuning": Item(commands.finetuning, 90),
    "two-ranks": Item(ranks.two_ranks, 90),
    **_steps(dict(list(variants.VARIANTS.items())[12:]), 40),
    **_steps(variants.COMPILED, 120),
}


def find(name: str, place: Place) -> Found:
    """Run one item."""
    return ITEMS[name].run(place)


def chosen(words: Sequence[str]) -> list[str]:
    """The items that `words` name, each in full or by what is before a colon. Raises ValueError for one of none."""
    for word in words:
        if not any(_names(word, name) for name in ITEMS):
            known = dict.fromkeys(name.partition(":")[0] for name in ITEMS)
            raise ValueError(
                f"{word!r} is none of {', '.join(known)}, nor one of their parts such as step:shipped:bf16"
            )
    return [name for name in ITEMS if not words or any(_names(word, name) for word in words)]


def _names(word: str, name: str) -> bool:
    return name == word or name.startswith(f"{word}:")
