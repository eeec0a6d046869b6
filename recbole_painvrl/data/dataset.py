"""RecBole's dataset with any number of modalities and the plugin's protocols."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from logging import getLogger
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recbole_painvrl.config import RunSettings
from recbole_painvrl.data.checked import CheckedDataset
from recbole_painvrl.data.feature_mask import read_feature_mask
from recbole_painvrl.data.features import (
    aligned_features,
    all_modalities,
    available_modalities,
    warn_of_remains,
)
from recbole_painvrl.data.folder import dataset_stamp, read_manifest
from recbole_painvrl.data.prepare import ensure_dataset
from recbole_painvrl.data.splits.base import OOD, OOD_VALID, TEST, TRAIN, VALID, Split
from recbole_painvrl.data.splits.files import (
    benchmark_files,
    files_split,
    refuse_filters,
    refuse_split_arguments,
    split_files,
    warn_of_idle_settings,
)
from recbole_painvrl.data.splits.iid_ood import iid_ood_split
from recbole_painvrl.data.splits.random import random_splits
from recbole_painvrl.data.splits.shifts import popularity_split, time_split
from recbole_painvrl.data.unicode_forms import warn_of_twins
from recbole_painvrl.errors import UserError, did_you_mean
from recbole_painvrl.specs import spec_of


@dataclass(frozen=True)
class Features:
    """All modalities concatenated, aligned to RecBole's item indices.

    Attributes:
        matrix: ``[n_items, d]`` float32; every modality's rows have length 1, row 0 is padding.
        has_row: which items have a row in each modality's file, ``[n_items, M]`` bool.
        slices: columns of each modality.
        counts: per modality, counts from the alignment (items without a row, unknown rows...).
        mask: factor of every column (``feature_mask``), ``[d]``; None without one. ``matrix`` is
            without it.
    """

    matrix: Tensor
    has_row: Tensor
    slices: dict[str, slice]
    counts: dict[str, dict[str, int]]
    mask: Tensor | None = None


class ModalityDataset(CheckedDataset):
    """RecBole's dataset plus ``features`` and :meth:`build_parts`.

    Attributes:
        features: the modalities in use; ``slices`` is empty without any.
        manifest: contents of ``manifest.json``, ``{}`` without one.
        protocol: the protocol in use.
        split_diagnostics: statistics of the split, after :meth:`build_parts`.
        sizes: numbers of users, items and interactions, after :meth:`build_parts`.
        stamp: of the files before they were read.

    Raises:
        UserError: files that are missing, empty, faulty or contradict each other.
    """

    def __init__(self, config: Any) -> None:
        self.run_settings = RunSettings.from_config(config)
        self.split_diagnostics: dict[str, Any] = {}
        self.sizes: dict[str, int] = {}
        self._parts: dict[str, ModalityDataset] | None = None
        ensure_dataset(config["dataset"], Path(config["data_path"]))
        super().__init__(config)
        if len(self.inter_feat) == 0 or self.item_num < 2 or self.user_num < 2:
            raise UserError(
                f"{self.folder}: no interactions are left; check the file and the filters "
                "(`user_inter_num_interval`, `item_inter_num_interval`, `val_interval`)"
            )
        for field in (self.uid_field, self.iid_field):
            warn_of_twins(map(str, self.field2id_token[field]), field, self.folder)
        self.features = self._load_features()

    def _get_preset(self) -> None:
        super()._get_preset()
        self.folder = Path(self.dataset_path)
        self.manifest = read_manifest(self.folder) if self.folder.is_dir() else {}
        self.stamp = dataset_stamp(self.folder) if self.folder.is_dir() else []
        default = str(self.manifest.get("default_protocol", "random"))
        self.protocol = self.run_settings.protocol or default
        if self.benchmark_filename_list:
            # RecBole's equivalent of protocol `files`.
            given = list(self.benchmark_filename_list)
            self.part_names = benchmark_files(given, self.run_settings.protocol)
            self.protocol = "files"
        elif self.protocol == "files":
            self.part_names = split_files(self.folder, self.dataset_name)
        if self.protocol == "files":
            refuse_filters(self.config)
            self.benchmark_filename_list = list(self.part_names.values())
        if self.protocol != "random":
            refuse_split_arguments(self.config, self.protocol)
        warn_of_idle_settings(self.run_settings, self.config, self.protocol)

    def _get_field_from_config(self) -> None:
        super()._get_field_from_config()
        self.needed = self._needed_columns()
        self._check_files()

    def _needed_columns(self) -> dict[str, str]:
        """Columns that settings need, each with the setting."""
        config, arguments = self.config, self.config["eval_args"]
        needed = dict.fromkeys(config["val_interval"] or {}, "`val_interval`")
        needed |= dict.fromkeys(config["threshold"] or {}, "`threshold`")
        if self.protocol == "time":
            needed[self.time_field] = "protocol `time`"
        elif self.protocol == "random":
            if arguments["order"] == "TO":
                needed[self.time_field] = "`eval_args: {order: TO}`"
            if "TS" in (arguments["split"] or {}):
                needed[self.time_field] = "`eval_args: {split: TS}`"
        if "labeled" in arguments["mode"].values() and not config["threshold"]:
            needed[self.label_field] = "`eval_args: {mode: labeled}` without `threshold`"
        if config["inter_matrix_type"] == "rating":
            needed[config["RATING_FIELD"]] = "`inter_matrix_type: rating`"
        if config["time-aware"]:
            needed[self.time_field] = "`time-aware`"
        if config["rm_dup_inter"] and self.time_field in self._header("inter"):
            needed[self.time_field] = "`rm_dup_inter`"
        needed |= dict.fromkeys(config["normalize_field"] or (), "`normalize_field`")
        return needed | dict.fromkeys(config["discretization"] or (), "`discretization`")

    def _load_features(self) -> Features:
        known = available_modalities(self.folder)
        wanted = self.run_settings.modalities
        if wanted is None and self._reads_features():
            wanted = all_modalities(self.folder, self.config["opened_modalities"])
        elif wanted is None:
            warn_of_remains(self.folder)
            wanted = known
        tokens = {str(t): index for index, t in enumerate(self.field2id_token[self.iid_field])}
        matrices, has_row, slices, counts, start = [], [], {}, {}, 0
        for modality in wanted:
            if modality not in known:
                raise UserError(
                    f"{self.folder / 'features'}: no modality `{modality}`, found "
                    f"{known or 'none'}{did_you_mean(modality, known)}"
                )
            aligned = aligned_features(
                self.folder,
                modality,
                tokens,
                self.item_num,
                self.run_settings.missing_modality,
                self.run_settings.unknown_items,
            )
            matrices.append(torch.from_numpy(aligned.matrix))
            has_row.append(torch.from_numpy(aligned.has_row))
            slices[modality] = slice(start, start + aligned.matrix.shape[1])
            start = slices[modality].stop
            counts[modality] = {
                "columns": int(aligned.matrix.shape[1]),
                "items_without_row": aligned.n_missing,
                "unknown_rows": aligned.n_unknown,
                "constant_columns": aligned.n_constant_columns,
            }
            self._report_gaps(modality, counts[modality])
        if not matrices:
            none = torch.zeros(self.item_num, 0)
            return Features(none, none.bool(), slices, counts)
        given = self.config["feature_mask_file"] or self.run_settings.feature_mask
        mask = None if given is None else read_feature_mask(Path(given), slices)
        return Features(
            torch.cat(matrices, dim=1), torch.stack(has_row, dim=1), slices, counts, mask
        )

    def _reads_features(self) -> bool:
        """Whether the model or the split depends on them."""
        s, spec = self.run_settings, spec_of(self.config["model"])
        if self.protocol == "iid_ood" and s.split_environment_model == "content":
            return True
        reads = getattr(getattr(spec, "model", None), "reads_features", lambda _: True)
        return spec is not None and bool(reads(self.config))

    def _report_gaps(self, modality: str, counts: dict[str, int]) -> None:
        words = {
            "items_without_row": f"of {self.item_num - 1} items have no row "
            f"(`missing_modality: {self.run_settings.missing_modality}`)",
            "unknown_rows": "rows belong to items without interactions",
            "constant_columns": f"of {counts['columns']} columns are constant",
        }
        found = [f"{counts[name]} {text}" for name, text in words.items() if counts[name]]
        if found:
            getLogger("recbole_painvrl").info("modality %s: %s", modality, "; ".join(found))

    def build_parts(self) -> dict[str, ModalityDataset]:
        """The splits of the protocol, as datasets with a common id map.

        Further calls return the same datasets, whereas RecBole would shuffle and split again.

        Raises:
            UserError: a split without interactions.
        """
        if self._parts is None:
            self._change_feat_format()
            self._parts = self._random() if self.protocol == "random" else self._by_rows()
            for name, dataset in self._parts.items():
                if len(dataset) == 0:
                    self._refuse_empty(name)
            self.sizes = self._sizes(self._parts.values())
        return self._parts

    def _sizes(self, splits: Iterable[ModalityDataset]) -> dict[str, int]:
        """Users and items that the models know, and the interactions of all splits.

        Where interactions of the table are in no split, also how many were read, and the users and
        items of the others.
        """
        tables = [split.inter_feat for split in splits]
        kept = sum(map(len, tables))
        sizes = {"users": self.user_num - 1, "items": self.item_num - 1, "interactions": kept}
        if kept < self.inter_num:
            for name, field in (("users", self.uid_field), ("items", self.iid_field)):
                known = torch.cat([table[field] for table in tables]).unique()
                sizes[f"{name}_in_splits"] = len(known)
            sizes["interactions_read"] = self.inter_num
        return sizes

    def _random(self) -> dict[str, ModalityDataset]:
        datasets: dict[str, ModalityDataset] = random_splits(self)
        self.split_diagnostics = {
            "sizes": {name: len(dataset) for name, dataset in datasets.items()},
            "cold_kept": self._cold(datasets),
        }
        return datasets

    def _by_rows(self) -> dict[str, ModalityDataset]:
        self._drop_unused_col()
        split = self._split()
        self.split_diagnostics = split.diagnostics
        return {
            name: self.copy(self.inter_feat[torch.from_numpy(rows)])
            for name, rows in split.rows.items()
        }

    def _refuse_empty(self, name: str) -> None:
        why = f"its split of {self.inter_num} interactions leaves none for it"
        dropped = self.split_diagnostics.get("cold_dropped", {}).get(name)
        if dropped:
            why = (
                f"all of its {dropped} interactions are of users or items without a training "
                "interaction, and were dropped"
            )
        raise UserError(
            f"{self.folder}: split `{name}` of protocol `{self.protocol}` is empty: {why}; "
            "change the `protocol`, its settings or the filters"
        )

    def _cold(self, datasets: Mapping[str, ModalityDataset]) -> dict[str, int]:
        """Rows per split whose user or item has no training row; RecBole's split keeps them."""
        fields = (self.uid_field, self.iid_field)
        seen = {field: datasets[TRAIN].inter_feat[field].unique() for field in fields}
        cold = {}
        for name in list(datasets)[1:]:
            table = datasets[name].inter_feat
            warm = [torch.isin(table[field], seen[field]) for field in fields]
            cold[name] = int((~(warm[0] & warm[1])).sum())
        return cold

    def save(self) -> None:
        """Refuse RecBole's pickle of a dataset, which it would read even if the files changed.

        Raises:
            UserError: always.
        """
        raise UserError(
            "`save_dataset`: found True, expected False: the dataset is always read from "
            "its files, since a pickle may be out of date"
        )

    def build(self) -> list[ModalityDataset]:
        """RecBole's entry point: training, validation and IID test.

        ``further`` of the validation and test datasets contains the OOD splits.
        """
        splits = self.build_parts()
        for name, words in ((VALID, "a validation split"), (TEST, "an IID test")):
            if name not in splits:
                raise UserError(
                    f"RecBole's own entry points need {words}, which this protocol lacks "
                    "here; use `python run_recbole.py`"
                )
        history = [splits[TRAIN], splits[VALID]]
        for iid, ood in ((VALID, OOD_VALID), (TEST, OOD)):
            splits[iid].further = {ood: splits[ood]} if ood in splits else {}
            splits[iid].history = history
        # RecBole evaluates one test set; the plugin's trainers add the OOD test.
        splits[TEST].evaluate_further = True
        return [splits[TRAIN], splits[VALID], splits[TEST]]

    def _split(self) -> Split:
        users = self.inter_feat[self.uid_field].numpy().astype(np.int64)
        items = self.inter_feat[self.iid_field].numpy().astype(np.int64)
        s = self.run_settings
        if self.protocol == "files":
            sizes = dict(zip(self.part_names, self.file_size_list, strict=True))
            planted = bool(self.manifest.get("planted"))
            return files_split(sizes, users, items, s, self.folder, planted)
        if self.protocol == "popularity":
            return popularity_split(users, items, s.ood_fraction, s.split_seed)
        if self.protocol == "time":
            assert self.times is not None
            return time_split(users, items, self.times, s.ood_fraction, s.split_seed)
        content = self.features.matrix if s.split_environment_model == "content" else None
        return iid_ood_split(users, items, content, s, self.folder)
