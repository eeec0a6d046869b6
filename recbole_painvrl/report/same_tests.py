"""Which runs have the same data, the same test sets and the same candidates."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from recbole_painvrl.evaluation.evaluation_settings import evaluation_settings, trains_on_its_split
from recbole_painvrl.report.read import RunData


def by_split(runs: Sequence[RunData]) -> list[list[RunData]]:
    """The runs by their split, where equal settings gave several, as of other columns of times.

    With protocol ``random`` every seed has a split of its own. A run that does not say what its
    split was is assumed to have that of the others.
    """
    parts: list[tuple[dict[int | None, tuple[str, str]], list[RunData]]] = []
    for run in runs:
        done = run.done
        seed = done.seed if done.protocol == "random" else None
        names = [name for metrics in done.metrics.values() for name in metrics]
        train = done.hashes.get("train") if trains_on_its_split(names) else ""
        split = None if train is None else (train, as_text(done.split.get("sizes")))
        for known, members in parts:
            if split is None or known.setdefault(seed, split) == split:
                members.append(run)
                break
        else:
            parts.append(({} if split is None else {seed: split}, [run]))
    return [members for _, members in parts]


def data_of(run: RunData) -> tuple[str, ...]:
    """Dataset, protocol, variant and hash of the data."""
    done = run.done
    return done.dataset, done.protocol, done.edition, done.hashes.get("data", "")


def evaluation_of(run: RunData) -> tuple[tuple[str, str], ...]:
    """Settings that decide the test sets and the ranked candidates, beside data and protocol."""
    settings = evaluation_settings(run.value, run.done.protocol)
    return tuple(pair for name, value in settings.items() for pair in _flat(name, value))


def _flat(name: str, value: Any) -> Iterator[tuple[str, str]]:
    """``(eval_args.mode.test, full)`` and so on of nested settings."""
    if not isinstance(value, dict):
        yield name, as_text(value)
        return
    for key in sorted(value):
        yield from _flat(f"{name}.{key}", value[key])


def as_text(value: Any) -> str:
    """A setting's value."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def short(value: Any, width: int = 24) -> str:
    """A setting's value, shortened to a width."""
    text = as_text(value)
    return text if len(text) <= width else text[: width - 1] + "…"
