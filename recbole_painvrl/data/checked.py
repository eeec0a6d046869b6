"""RecBole's dataset, read and filtered without loss: its files, its filters, its times."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from logging import getLogger
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from recbole.data.dataset import Dataset
from recbole.data.interaction import Interaction
from recbole.utils import FeatureSource, FeatureType

from recbole_painvrl.data.atomic_files import quotes_of, read_columns, read_header
from recbole_painvrl.data.dislikes import check_dislikes
from recbole_painvrl.errors import UserError, did_you_mean
from recbole_painvrl.reading import reason

FloatArray = npt.NDArray[np.float64]


class CheckedDataset(Dataset):
    """RecBole's dataset with its own reader and with times in 64 bit.

    Attributes:
        folder: the dataset's folder.
        needed: columns that settings decide by, with the setting; they are loaded whatever
            ``load_col`` says.
        times: time of every interaction in the order of the table before it is split, ``[n]``;
            None where no times are loaded. RecBole's own column is float32 by then, in which the
            seconds of today are two minutes apart.

    Raises:
        UserError: files that are missing, empty, faulty or contradict the settings.
    """

    folder: Path
    needed: dict[str, str]
    inter_feat: Any
    benchmark_filename_list: Any
    times: FloatArray | None = None

    def _codec(self) -> str:
        return str(self.config["encoding"] or "utf-8")

    def _from_scratch(self) -> None:
        try:
            super()._from_scratch()
        except UserError:
            raise
        except (ValueError, LookupError, TypeError) as error:
            # "Some feat is empty": RecBole does not say whose, nor which settings it goes by.
            raise UserError(
                f"{self.dataset_path}: {reason(error)} Check the files, the columns that are "
                "loaded (`load_col`) and the filters (`user_inter_num_interval`, "
                "`item_inter_num_interval`, `val_interval`)"
            ) from error

    # --- reading --------------------------------------------------------------------------

    def _load_data(self, token: str, dataset_path: str) -> None:
        self._load_needed()
        self._quoted = self._quotes()
        super()._load_data(token, dataset_path)
        self._check_names()

    def _load_needed(self) -> None:
        """Add the columns that settings decide by to ``load_col``, wherever they are."""
        values = self.config.final_config_dict
        # Changed below: the user's own mapping must stay as it is.
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
                    f"{self.dataset_name}.inter or leave the setting out"
                )
            if wanted is not None and wanted.get(source) != "*":
                chosen = wanted.setdefault(source, ids[source])
                chosen += [column] * (column not in chosen)

    def _quotes(self) -> bool:
        """Whether quote marks enclose cells: in one file of the dataset as in all, like its ids."""
        names = [f"{name}.inter" for name in self.benchmark_filename_list or ()] or ["inter"]
        paths = [self.folder / f"{self.dataset_name}.{name}" for name in (*names, "item", "user")]
        form = (self.config["field_separator"], self._codec())
        found = [quotes_of(path, *form) for path in paths if path.is_file()]
        return True in found and False not in found

    def _check_names(self) -> None:
        """Refuse columns that settings name and that were not loaded."""
        for name in self.config["seq_len"] or {}:
            if name not in self.field2type:
                self._unknown("seq_len", name)
        for source, names in (self.config["unused_col"] or {}).items():
            for name in names:
                if name not in self.field2type:
                    self._unknown("unused_col", name)
                if name in (self.uid_field, self.iid_field):
                    raise UserError(
                        f"`unused_col: {source}`: found `{name}`, which every model reads"
                    )
        for source in set(self.config["load_col"] or {}) & {"item", "user"}:
            if not (self.folder / f"{self.dataset_name}.{source}").is_file():
                getLogger("recbole_painvrl").warning(
                    "`load_col: %s` has no effect: there is no %s.%s",
                    source, self.dataset_name, source,
                )  # fmt: skip

    def _unknown(self, setting: str, name: str) -> None:
        loaded = list(self.field2type)
        raise UserError(
            f"`{setting}`: found the column `{name}`, but loaded are {', '.join(loaded)}"
            f"{did_you_mean(name, loaded)}; see `load_col`"
        )

    def _header(self, source: str) -> dict[str, str]:
        """Type of every column of an atomic file; nothing where the file is absent."""
        names = self.benchmark_filename_list if source == "inter" else None
        suffix = f".{names[0]}" if names else ""
        path = self.folder / f"{self.dataset_name}{suffix}.{source}"
        return self._columns_of(path) if path.is_file() else {}

    def _columns_of(self, path: Path, required: tuple[str, ...] = ()) -> dict[str, str]:
        return read_header(path, required, self.config["field_separator"], self._codec())

    def _load_feat(self, filepath: str, source: Any) -> Any:
        """RecBole's reader without its losses; see :mod:`recbole_painvrl.data.atomic_files`."""
        wanted, unwanted = self._get_load_and_unload_col(source)
        if wanted == set():
            return None
        path = Path(filepath)
        types = self._columns_of(path)
        self._check_listed(path, source, wanted or unwanted or (), types)
        names = [
            name
            for name in types
            if (wanted is None or name in wanted) and name not in (unwanted or ())
        ]
        form = (self.config["field_separator"], self._codec(), self._quoted)
        frame = read_columns(path, types, names, *form)
        if source == FeatureSource.INTERACTION:
            fixed = bool(self.benchmark_filename_list)
            check_dislikes(self.config, path, types, form, fixed)
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
        """Refuse columns that ``load_col`` or ``unload_col`` names and the file lacks."""
        kind = source.value if isinstance(source, FeatureSource) else source
        for name in sorted(set(listed) - set(types)):
            setting = "load_col" if name in _listed(self.config, "load_col", kind) else "unload_col"
            if setting in self.config.external_config_dict:
                raise UserError(
                    f"`{setting}`: found the column `{name}`, but {path} has "
                    f"{', '.join(types)}{did_you_mean(name, types)}"
                )
            # The default of a dataset's property file, for files of the same name without it.
            self.config[setting][kind].remove(name)

    def _sequences(self, path: Path, name: str, cells: pd.Series, kind: FeatureType) -> list[Any]:
        """Arrays of a sequence column, cut to ``seq_len``."""
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

    # --- filtering ------------------------------------------------------------------------

    def _data_filtering(self) -> None:
        if self.inter_feat is None:
            raise UserError(
                f"{self.folder}: no column of the interactions is loaded; check `load_col`"
            )
        super()._data_filtering()

    def _filter_nan_user_or_item(self) -> None:
        """Drop rows without user or item; RecBole's own takes labels for positions after a drop."""
        for name, fields in (
            ("user_feat", [self.uid_field]),
            ("item_feat", [self.iid_field]),
            ("inter_feat", [self.uid_field, self.iid_field]),
        ):
            feat = getattr(self, name)
            if feat is None:
                continue
            missing = feat[fields].isnull().any(axis=1)
            if missing.any():
                getLogger("recbole_painvrl").warning(
                    "%d rows without %s were dropped", int(missing.sum()), " or ".join(fields)
                )
                setattr(self, name, feat[~missing].copy())

    def _filter_inter_by_user_or_item(self) -> None:
        before = len(self.inter_feat)
        super()._filter_inter_by_user_or_item()
        lost = before - len(self.inter_feat)
        if lost:
            getLogger("recbole_painvrl").warning(
                "%d of %d interactions were dropped: their user or item has no row in %s.user or "
                "%s.item (`--filter_inter_by_user_or_item=False` keeps them)",
                lost, before, self.dataset_name, self.dataset_name,
            )  # fmt: skip

    def _remove_duplication(self) -> None:
        """Keep one row of every (user, item) pair; two could end up in two splits.

        Deviations from RecBole: repeated pairs are also dropped without ``rm_dup_inter`` (the
        first row stays, in order of time where a setting reads times); the sort is stable.
        """
        keep, before = self.config["rm_dup_inter"], len(self.inter_feat)
        if self.time_field in self.needed:
            self._check_times()
        pair = [self.uid_field, self.iid_field]
        ordered = self.inter_feat
        if self.time_field in ordered and (keep or self.time_field in self.needed):
            ordered = ordered.sort_values(self.time_field, kind="stable", na_position="first")
        kept = ordered.drop_duplicates(subset=pair, keep=keep or "first")
        # RecBole leaves the rows in order of time where `rm_dup_inter` is set.
        self.inter_feat = kept if keep else kept.sort_index()
        if len(self.inter_feat) < before:
            getLogger("recbole_painvrl").info(
                "%d repeated (user, item) rows were dropped", before - len(self.inter_feat)
            )

    def _check_times(self) -> None:
        """Refuse interactions without a time where times decide."""
        setting, kind = self.needed[self.time_field], self.field2type.get(self.time_field)
        if kind != FeatureType.FLOAT:
            raise UserError(
                f"{self.folder}: {setting} needs `{self.time_field}:float`, found "
                f"`{self.time_field}:{kind.value if kind else 'nothing'}`; write times as numbers"
            )
        missing = int((~np.isfinite(self.inter_feat[self.time_field])).sum())
        if missing:
            raise UserError(
                f"{self.folder}: {missing} of {len(self.inter_feat)} interactions have no "
                f"`{self.time_field}`, by which {setting} decides; remove or complete them"
            )

    def _filter_by_field_value(self) -> None:
        intervals = dict(self.config["val_interval"] or {})
        for name, values in intervals.items():
            kind = self.field2type[name]
            number = kind == FeatureType.FLOAT
            if kind not in (FeatureType.FLOAT, FeatureType.TOKEN):
                raise UserError(
                    f"`val_interval`: found the column `{name}:{kind.value}`, expected one of type "
                    "float or token"
                )
            if number != isinstance(values, str):
                expected = (
                    "an interval in quotes such as '[3,inf)'" if number else "a list of values"
                )
                raise UserError(
                    f"`val_interval: {name}`: found {values!r}, expected {expected} for a column "
                    f"`{name}:{kind.value}`"
                )
            # Ids are text, and YAML reads [1, 2] as numbers.
            intervals[name] = values if number else [str(value) for value in values]
        self.config.final_config_dict["val_interval"] = intervals or None
        before = len(self.inter_feat)
        super()._filter_by_field_value()
        if len(self.inter_feat) < before:
            # Rows without a value are in no interval.
            getLogger("recbole_painvrl").info(
                "`val_interval` left %d of %d interactions", len(self.inter_feat), before
            )

    def _set_label_by_threshold(self) -> None:
        for name in self.config["threshold"] or {}:
            kind = self.field2type.get(name)
            if kind != FeatureType.FLOAT:
                raise UserError(
                    f"`threshold`: found the column `{name}`, expected one of type float in "
                    f"{self.dataset_name}.inter"
                )
        super()._set_label_by_threshold()

    # --- from table to tensors ------------------------------------------------------------

    def _change_feat_format(self) -> None:
        """RecBole's conversion to float32 tensors, once; times are kept in 64 bit."""
        if isinstance(self.inter_feat, Interaction):
            return
        if self.time_field in self.inter_feat:
            self.times = self.inter_feat[self.time_field].to_numpy(dtype=np.float64, copy=True)
        super()._change_feat_format()


def _listed(config: Any, setting: str, kind: str) -> list[str]:
    return list((config[setting] or {}).get(kind, []))
