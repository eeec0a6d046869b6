"""RecBole's dataset with a stricter reader: no row, id or column is lost silently."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from logging import getLogger
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from recbole.utils import EvaluatorType, FeatureSource, FeatureType

from recbole_painvrl.data.atomic_files import quotes_of, read_columns, read_header
from recbole_painvrl.data.filtered import FilteredDataset
from recbole_painvrl.data.folder import RATINGS
from recbole_painvrl.errors import UserError, did_you_mean
from recbole_painvrl.reading import reason

_LOG = getLogger("recbole_painvrl")


class CheckedDataset(FilteredDataset):
    """RecBole's dataset that reads its atomic files by :mod:`recbole_painvrl.data.atomic_files`.

    Raises:
        UserError: files that are missing, empty, faulty or contradict the settings.
    """

    benchmark_filename_list: Any

    @property
    def _form(self) -> tuple[str, str]:
        """Separator and encoding of the files."""
        return self.config["field_separator"], str(self.config["encoding"] or "utf-8")

    def _from_scratch(self) -> None:
        try:
            super()._from_scratch()
        except UserError:
            raise
        except (ValueError, LookupError, TypeError) as error:
            # RecBole's "Some feat is empty" names neither the dataset nor the settings.
            raise UserError(
                f"{self.dataset_path}: {reason(error)} Check the files, the columns that are "
                "loaded (`load_col`) and the filters (`user_inter_num_interval`, "
                "`item_inter_num_interval`, `val_interval`)"
            ) from error

    def _load_data(self, token: str, dataset_path: str) -> None:
        self._load_needed()
        self._quoted = self._quotes()
        super()._load_data(token, dataset_path)
        self._check_names()

    def _load_needed(self) -> None:
        """Add columns that other settings need to ``load_col``."""
        values = self.config.final_config_dict
        # A copy, since it is changed below.
        wanted = values["load_col"] = copy.deepcopy(values.get("load_col"))
        ids = {"inter": [], "item": [self.iid_field], "user": [self.uid_field]}
        headers = {name: self._header(name) for name in ids}
        for column, setting in self.needed.items():
            source = next((name for name in ids if column in headers[name]), None)
            if source is None:
                found = list(dict.fromkeys(n for header in headers.values() for n in header))
                raise UserError(
                    f"{self.folder}: {setting} needs a column `{column}`, found "
                    f"{', '.join(found)}{did_you_mean(column, found)}; add it to "
                    f"{self.dataset_name}.inter or remove the setting"
                )
            if wanted is not None and wanted.get(source) != "*":
                chosen = wanted.setdefault(source, ids[source])
                chosen += [column] * (column not in chosen)

    def _quotes(self) -> bool:
        """Whether quote marks enclose cells, decided once for all files of the dataset."""
        names = [f"{name}.inter" for name in self.benchmark_filename_list or ()] or ["inter"]
        paths = [self.folder / f"{self.dataset_name}.{name}" for name in (*names, "item", "user")]
        found = [quotes_of(path, *self._form) for path in paths if path.is_file()]
        return True in found and False not in found

    def _check_names(self) -> None:
        """Refuse settings that name columns which were not loaded."""
        self._require_loaded("seq_len", self.config["seq_len"] or ())
        for source, names in (self.config["unused_col"] or {}).items():
            self._require_loaded("unused_col", names)
            for name in {self.uid_field, self.iid_field} & set(names):
                raise UserError(f"`unused_col: {source}`: found `{name}`, which every model needs")
        for source in set(self.config["load_col"] or {}) & {"item", "user"}:
            if not (self.folder / f"{self.dataset_name}.{source}").is_file():
                _LOG.warning(
                    "`load_col: %s` has no effect: there is no %s.%s",
                    source,
                    self.dataset_name,
                    source,
                )

    def _require_loaded(self, setting: str, names: Iterable[str]) -> None:
        loaded = list(self.field2type)
        for name in names:
            if name not in loaded:
                raise UserError(
                    f"`{setting}`: found the column `{name}`, but loaded are {', '.join(loaded)}"
                    f"{did_you_mean(name, loaded)}; see `load_col`"
                )

    def _header(self, source: str) -> dict[str, str]:
        """Type of every column of an atomic file; empty if the file does not exist."""
        names = self.benchmark_filename_list if source == "inter" else None
        suffix = f".{names[0]}" if names else ""
        path = self.folder / f"{self.dataset_name}{suffix}.{source}"
        return self._columns_of(path) if path.is_file() else {}

    def _columns_of(self, path: Path, required: tuple[str, ...] = ()) -> dict[str, str]:
        return read_header(path, required, *self._form)

    def _load_feat(self, filepath: str, source: Any) -> Any:
        """Replacement of RecBole's reader; see :mod:`recbole_painvrl.data.atomic_files`."""
        wanted, unwanted = self._get_load_and_unload_col(source)
        if wanted == set():
            return None
        path = Path(filepath)
        types = self._columns_of(path)
        self._check_listed(path, source, wanted or unwanted or (), types)
        kept = (set(types) if wanted is None else set(wanted)) - set(unwanted or ())
        names = [name for name in types if name in kept]
        frame = read_columns(path, types, names, *self._form, self._quoted)
        if source == FeatureSource.INTERACTION:
            self._check_dislikes(path, types)
        if not names:
            return None
        for name in names:
            kind = FeatureType(types[name])
            self.field2source[name], self.field2type[name] = source, kind
            if kind in (FeatureType.FLOAT, FeatureType.FLOAT_SEQ):
                self.field2bucketnum[name] = 2
            self.field2seqlen[name] = 1
            if kind in (FeatureType.TOKEN_SEQ, FeatureType.FLOAT_SEQ):
                frame[name] = self._sequences(path, name, frame[name], kind)
        return frame

    def _check_listed(self, path: Path, source: Any, listed: Any, types: Mapping[str, str]) -> None:
        """Refuse columns in ``load_col`` or ``unload_col`` that are not in the file."""
        kind = source.value if isinstance(source, FeatureSource) else source
        for name in sorted(set(listed) - set(types)):
            loaded = (self.config["load_col"] or {}).get(kind, ())
            setting = "load_col" if name in loaded else "unload_col"
            if setting in self.config.external_config_dict:
                raise UserError(
                    f"`{setting}`: found the column `{name}`, but {path} has "
                    f"{', '.join(types)}{did_you_mean(name, types)}"
                )
            # Default of a property file; this dataset of the same name lacks the column.
            self.config[setting][kind].remove(name)

    def _check_dislikes(self, path: Path, types: dict[str, str]) -> None:
        """Refuse ratings, labels and clicks of 0 or less, which a ranking counts as positives.

        An explicit ``val_interval`` for the column is accepted. For fixed splits, which cannot be
        filtered, this is a warning.
        """
        names = {self.config["RATING_FIELD"], self.config["LABEL_FIELD"], *RATINGS} & set(types)
        names -= set(self.config["val_interval"] or {})
        if self.config["eval_type"] != EvaluatorType.RANKING or not names:
            return
        for name, cells in read_columns(path, types, names, *self._form, self._quoted).items():
            n_disliked = int((pd.to_numeric(cells, errors="coerce") <= 0).sum())
            found = (
                f"{path}: {n_disliked} of {len(cells)} rows have `{name}` <= 0 and count as "
                "positives"
            )
            if n_disliked and not self.benchmark_filename_list:
                raise UserError(
                    f"{found}; drop them with \"--val_interval={{{name}: '(0,inf)'}}\", or keep "
                    f"them with \"--val_interval={{{name}: '(-inf,inf)'}}\""
                )
            if n_disliked:
                _LOG.warning("%s", found)

    def _sequences(self, path: Path, name: str, cells: pd.Series, kind: FeatureType) -> list[Any]:
        """Arrays of a sequence column, truncated to ``seq_len``."""
        separator = self.config["seq_separator"]
        words = [[word for word in cell.split(separator) if word] for cell in cells.fillna("")]
        longest = max(map(len, words), default=0)
        limit = (self.config["seq_len"] or {}).get(name, longest)
        self.field2seqlen[name] = min(limit, longest)
        try:
            dtype = float if kind == FeatureType.FLOAT_SEQ else None
            return [np.array([float(w) for w in row] if dtype else row)[:limit] for row in words]
        except ValueError as error:
            raise UserError(f"{path}: column `{name}:float_seq`: {reason(error)}") from error

    def _check_files(self) -> None:
        suffixes = [f".{name}" for name in self.benchmark_filename_list or ()] or [""]
        for suffix in suffixes:
            path = self.folder / f"{self.dataset_name}{suffix}.inter"
            if not path.is_file() and (self.folder / f"{self.dataset_name}.train.inter").is_file():
                raise UserError(
                    f"{path}: no such file, but the folder has {self.dataset_name}.train.inter; "
                    "choose `--protocol=files`"
                )
            types = self._columns_of(path, (self.uid_field, self.iid_field))
            for name in (self.uid_field, self.iid_field):
                if types[name] != "token":
                    raise UserError(
                        f"{path}: found `{name}:{types[name]}`, expected `{name}:token`: ids "
                        "are text"
                    )
