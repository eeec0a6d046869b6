"""pandas 3: copies on write, and ``Series.agg`` that no longer maps element by element."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any

import pandas as pd

from recbole_painvrl._compat.wrapping import wrap


def mend_dataset() -> None:
    """Let RecBole's ``Dataset`` fill, remap, split and convert tables as it does on pandas 2.

    Unnecessary with a RecBole that supports pandas 3.
    """
    datasets = importlib.import_module("recbole.data.dataset")
    dataset = datasets.Dataset
    wrap(dataset, "_fill_nan", _filling)
    wrap(dataset, "_load_feat", _during(pd, "read_csv", _read_blank_sequences))
    wrap(dataset, "_remove_duplication", _during(pd.DataFrame, "sort_values", _sort_stably))
    wrap(dataset, "_dataframe_to_interaction", _copied)
    for owner, names in (
        (dataset, ("_remap", "_normalize", "_discretization")),
        (datasets.KnowledgeBasedDataset, ("_reset_ent_remapID",)),
        (datasets.SequentialDataset, ("_benchmark_presets",)),
    ):
        for name in names:
            wrap(owner, name, _during(pd.Series, "agg", _agg_lengths))


def _filling(original: Any, self: Any) -> None:
    """Fill the missing values of ids and numbers first.

    RecBole fills ``feat[field]`` in place, which under copy-on-write is a copy: without an error,
    ids become the smallest integer and numbers stay NaN.
    """
    kinds = importlib.import_module("recbole.utils").FeatureType
    for name in self.feat_name_list:
        feat = getattr(self, name)
        for field in feat:
            if self.field2type[field] == kinds.TOKEN:
                feat[field] = feat[field].fillna(value=0)
            elif self.field2type[field] == kinds.FLOAT:
                feat[field] = feat[field].fillna(value=feat[field].mean())
    original(self)


def _read_blank_sequences(read_csv: Any, *arguments: Any, **named: Any) -> Any:
    """Read blank cells of sequence columns as empty text.

    RecBole fills them in place, which under copy-on-write is a copy, and then splits NaN.
    """
    frame = read_csv(*arguments, **named)
    for name in frame:
        if str(name).endswith("_seq"):
            frame[name] = frame[name].fillna("")
    return frame


def _copied(original: Any, self: Any, data: Any) -> Any:
    """Convert a copy: columns of pandas 3 are read-only arrays, which PyTorch warns about."""
    return original(self, {name: _Writable(data[name]) for name in data})


class _Writable:
    """The ``values`` of a column as an array of its own."""

    def __init__(self, column: Any) -> None:
        self.values = column.to_numpy(copy=True)


def _agg_lengths(agg: Any, series: Any, function: Any = None, *arguments: Any, **named: Any) -> Any:
    """Let ``Series.agg(len)`` give the length of every cell."""
    if function is len:
        return series.map(len)
    return agg(series, function, *arguments, **named)


def _sort_stably(sort_values: Any, frame: Any, *arguments: Any, **named: Any) -> Any:
    """Keep the file's order of equal times where ``rm_dup_inter`` sorts, in any pandas version."""
    return sort_values(frame, *arguments, **{"kind": "stable", **named})


def _during(owner: Any, name: str, change: Callable[..., Any]) -> Callable[..., Any]:
    """A method of RecBole's during which ``change`` replaces a function of pandas."""

    def run(original: Any, self: Any, *arguments: Any, **named: Any) -> Any:
        function = getattr(owner, name)
        setattr(owner, name, functools.wraps(function)(lambda *a, **k: change(function, *a, **k)))
        try:
            return original(self, *arguments, **named)
        finally:
            setattr(owner, name, function)

    return run
