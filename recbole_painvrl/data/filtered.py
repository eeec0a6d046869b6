"""RecBole's filters, which here report what they drop, and times in 64 bit."""

from __future__ import annotations

from logging import getLogger
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from recbole.data.dataset import Dataset
from recbole.data.interaction import Interaction
from recbole.utils import FeatureType

from recbole_painvrl.errors import UserError

FloatArray = npt.NDArray[np.float64]
_LOG = getLogger("recbole_painvrl")


class FilteredDataset(Dataset):
    """RecBole's dataset, with filters that report what they drop and refuse unsuitable columns.

    Attributes:
        folder: the dataset's folder.
        needed: columns that settings need, with the setting; they are loaded even if
            ``load_col`` does not name them.
        times: time of every interaction in the order of the table before it is split, ``[n]``;
            None if no times are loaded. RecBole converts its column to float32, with a
            resolution of two minutes for current timestamps.
        filtered_pairs: user and item ids of the interactions that ``val_interval`` has dropped.

    Raises:
        UserError: data that contradict the settings.
    """

    folder: Path
    needed: dict[str, str]
    inter_feat: Any
    times: FloatArray | None = None
    filtered_pairs: pd.DataFrame | None = None

    def _data_filtering(self) -> None:
        """RecBole's filters; repeated pairs are dropped first only with ``rm_dup_inter``."""
        if self.inter_feat is None:
            raise UserError(
                f"{self.folder}: no column of the interactions is loaded; check `load_col`"
            )
        self._filter_nan_user_or_item()
        steps = [self._remove_duplication, self._filter_by_field_value]
        if not self.config["rm_dup_inter"]:
            # Another row of a repeated pair may be within the intervals where the first is not.
            steps.reverse()
        for step in steps:
            step()
        self._filter_inter_by_user_or_item()
        self._filter_by_inter_num()
        self._reset_index()

    def _filter_nan_user_or_item(self) -> None:
        """Drop rows without user or item (RecBole's version confuses labels and positions)."""
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
                _LOG.warning(
                    "%d rows without %s were dropped", int(missing.sum()), " or ".join(fields)
                )
                setattr(self, name, feat[~missing].copy())

    def _filter_inter_by_user_or_item(self) -> None:
        before = len(self.inter_feat)
        super()._filter_inter_by_user_or_item()
        lost = before - len(self.inter_feat)
        if lost:
            _LOG.warning(
                "%d of %d interactions were dropped: their user or item has no row in %s.user or "
                "%s.item (`--filter_inter_by_user_or_item=False` keeps them)",
                lost,
                before,
                self.dataset_name,
                self.dataset_name,
            )

    def _remove_duplication(self) -> None:
        """Keep one row of every (user, item) pair, which could otherwise be in two splits.

        Deviations from RecBole: repeated pairs are also dropped without ``rm_dup_inter`` (the
        first row stays, in order of time if a setting uses times); the sort is stable.
        """
        keep, before = self.config["rm_dup_inter"], len(self.inter_feat)
        if self.time_field in self.needed:
            self._check_times()
        pair = [self.uid_field, self.iid_field]
        ordered = self.inter_feat
        if self.time_field in ordered and (keep or self.time_field in self.needed):
            ordered = ordered.sort_values(self.time_field, kind="stable", na_position="first")
        kept = ordered.drop_duplicates(subset=pair, keep=keep or "first")
        # RecBole leaves the rows in order of time if `rm_dup_inter` is set.
        self.inter_feat = kept if keep else kept.sort_index()
        if len(self.inter_feat) < before:
            _LOG.info("%d repeated (user, item) rows were dropped", before - len(self.inter_feat))

    def _check_times(self) -> None:
        """Refuse interactions without a time if a setting uses times."""
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
                f"`{self.time_field}`, which {setting} needs; remove or complete them"
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
            self._refuse_two_tables(name)
            # Ids are text, but YAML reads [1, 2] as numbers, of the same text.
            intervals[name] = values if number else [str(value) for value in values]
        self.config.final_config_dict["val_interval"] = intervals or None
        pairs = self.inter_feat[[self.uid_field, self.iid_field]]
        super()._filter_by_field_value()
        n_kept = len(self.inter_feat)
        if n_kept < len(pairs):
            # Rows without a value are dropped, too.
            _LOG.info("`val_interval` kept %d of %d interactions", n_kept, len(pairs))
            self.filtered_pairs = pairs[~pairs.index.isin(self.inter_feat.index)]

    def _refuse_two_tables(self, name: str) -> None:
        """Refuse a column of several files, of which RecBole would filter the last."""
        tables = {"inter": self.inter_feat, "user": self.user_feat, "item": self.item_feat}
        found = [kind for kind, table in tables.items() if table is not None and name in table]
        if len(found) > 1 and name not in (self.uid_field, self.iid_field):
            files = " and ".join(f"{self.dataset_name}.{kind}" for kind in found)
            raise UserError(
                f"`val_interval`: found the column `{name}` in {files}; load it from one of them "
                "by `load_col`"
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

    def _change_feat_format(self) -> None:
        """RecBole's conversion to float32 tensors, once; times are kept in 64 bit."""
        if isinstance(self.inter_feat, Interaction):
            return
        if self.time_field in self.inter_feat:
            self.times = self.inter_feat[self.time_field].to_numpy(dtype=np.float64, copy=True)
        super()._change_feat_format()
