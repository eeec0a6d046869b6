"""Feature vectors in JSON: a map of items, a list of records, or one record per line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dataset_prep.read.ids import (
    FeatureFile,
    Found,
    IdSource,
    find_id,
    is_label,
    listed_names,
    no_id_column,
)
from dataset_prep.read.json_data import Pairs, json_values
from recbole_painvrl.errors import UserError

_OF_PANDAS = {"columns", "index", "data"}
_FORMS = 'such as {"i1": [0.1, 0.2]} or {"item_id": "i1", "vector": [0.1, 0.2]} per line'


def read_json_features(file: FeatureFile) -> Found:
    """The matrix and the id of each row, or None for lists of numbers alone."""
    records = _Records(file.path, file.ids)
    values = json_values(file.path, file.ids.encoding, file.report)
    matrix, tokens = file.spooled(row for value in values for row in records.rows(value))
    return matrix, None if records.without_ids else tokens


class _Records:
    """Id and vector of each record, by the keys of the first."""

    def __init__(self, path: Path, ids: IdSource) -> None:
        self._path, self._ids = path, ids
        self._id = ""
        self._keys: list[str] = []
        self.without_ids: bool | None = None

    def rows(self, value: Any) -> list[tuple[Any, Any]]:
        """The rows of one JSON value: a line, or the whole file."""
        if isinstance(value, Pairs):
            return self._of_object(value)
        if isinstance(value, list) and value and isinstance(value[0], list | Pairs):
            if not isinstance(value[0], Pairs):
                return [self._of_list(entry) for entry in value]
            return [row for entry in value for row in self._of_object(_pairs(entry))]
        return [self._of_list(value)]

    def _of_object(self, pairs: Pairs) -> list[tuple[Any, Any]]:
        names = {key for key, _ in pairs}
        if any(isinstance(value, Pairs) for _, value in pairs) or names == _OF_PANDAS:
            raise UserError(
                f"{self._path}: is JSON of nested objects, as pandas writes a table; write it with "
                'orient="records" and the ids as a column'
            )
        lists = [key for key, value in pairs if isinstance(value, list)]
        record = dict(pairs)
        if self._is_table(record):
            return self._of_table(record)
        if lists and all(value is None or isinstance(value, list) for _, value in pairs):
            self._say(ids=True)
            return list(pairs)
        if not self._keys:
            self._find_keys(record, lists)
        self._say(ids=True)
        values = [record.get(key) for key in self._keys]
        vector = values[0] if len(values) == 1 and isinstance(values[0], list) else values
        return [(record.get(self._id), vector)]

    def _find_keys(self, record: dict[str, Any], lists: list[str]) -> None:
        found = find_id(list(record), self._ids.column)
        if found is None and not lists and len(record) > 1:
            raise UserError(
                f"{self._path}: is JSON that maps ids to single values, not to vectors; a map of "
                "ids to rows belongs to `--feature-ids`"
            )
        if found is None:
            raise no_id_column(self._path, list(record), self._ids.column)
        numbers = [
            key
            for key, value in record.items()
            if key != found and not is_label(key) and isinstance(value, int | float)
        ]
        if len(lists) > 1:
            raise UserError(
                f"{self._path}: is JSON whose records hold {len(lists)} lists "
                f"({listed_names(lists)}); keep one vector"
            )
        if not lists and not numbers:
            raise UserError(f"{self._path}: is JSON without vectors; write them {_FORMS}")
        self._id, self._keys = found, lists or numbers

    def _is_table(self, record: dict[str, Any]) -> bool:
        """Whether an object holds a list of ids and a list of vectors."""
        name = find_id(list(record), self._ids.column)
        rest = [value for key, value in record.items() if key != name]
        return (
            name is not None
            and isinstance(record[name], list)
            and len(rest) == 1
            and isinstance(rest[0], list)
            and all(isinstance(row, list) for row in rest[0])
        )

    def _of_table(self, record: dict[str, Any]) -> list[tuple[Any, Any]]:
        name = find_id(list(record), self._ids.column)
        assert name is not None
        (rows,) = (value for key, value in record.items() if key != name)
        if len(rows) != len(record[name]):
            raise UserError(
                f"{self._path}: is JSON of {len(rows)} vectors for {len(record[name])} ids; the "
                "two belong together"
            )
        self._say(ids=True)
        return list(zip(record[name], rows, strict=True))

    def _of_list(self, value: Any) -> tuple[Any, Any]:
        """``["i1", [0.1, 0.2]]``, ``["i1", 0.1, 0.2]``, or numbers alone."""
        if not isinstance(value, list) or not value:
            raise UserError(f"{self._path}: is JSON of another form; write vectors {_FORMS}")
        if len(value) == 2 and isinstance(value[1], list) and not isinstance(value[0], list):
            self._say(ids=True)
            return value[0], value[1]
        if isinstance(value[0], str):
            self._say(ids=True)
            return value[0], value[1:]
        self._say(ids=False)
        return None, value

    def _say(self, ids: bool) -> None:
        if self.without_ids is ids:
            raise UserError(f"{self._path}: is JSON where only some vectors have an id; add them")
        self.without_ids = not ids


def _pairs(value: Any) -> Pairs:
    return value if isinstance(value, Pairs) else Pairs()
