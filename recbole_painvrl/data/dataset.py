"""RecBole dataset with any number of modalities and the plugin's protocols."""

from __future__ import annotations

from dataclasses import dataclass
from logging import getLogger
from pathlib import Path
from typing import Any

import numpy as np
import torch
from recbole.data.dataset import Dataset
from torch import Tensor

from recbole_painvrl.config import RunSettings
from recbole_painvrl.data.features import aligned_features, available_modalities
from recbole_painvrl.data.folder import read_manifest
from recbole_painvrl.data.iid_ood import iid_ood_split
from recbole_painvrl.data.inter_files import check_inter_file
from recbole_painvrl.data.parts import (
    OOD,
    OOD_VALID,
    PARTS,
    TEST,
    TRAIN,
    VALID,
    IntArray,
    Split,
    check_parts,
    drop_cold,
    hold_out,
)
from recbole_painvrl.data.prepare import ensure_dataset
from recbole_painvrl.data.shifts import popularity_split, time_split
from recbole_painvrl.errors import UserError, did_you_mean
from recbole_painvrl.reading import DAMAGED, reason

_FILTERS = ("user_inter_num_interval", "item_inter_num_interval", "val_interval", "rm_dup_inter")


@dataclass(frozen=True)
class Features:
    """All modalities side by side, aligned to RecBole's item numbers.

    Attributes:
        matrix: ``[n_items, d]`` float32; every modality's rows have length 1, row 0 is padding.
        slices: columns of each modality.
        counts: per modality, what alignment found (items without a row, unknown rows...).
    """

    matrix: Tensor
    slices: dict[str, slice]
    counts: dict[str, dict[str, int]]


class ModalityDataset(Dataset):
    """RecBole's dataset plus ``features`` and :meth:`build_parts`.

    Attributes:
        features: the modalities in use; ``slices`` is empty without any.
        manifest: contents of ``manifest.json``, ``{}`` without one.
        protocol: the protocol in force.
        split_diagnostics: what the split found, after :meth:`build_parts`.

    Raises:
        UserError: files that are missing, empty, faulty or contradict each other.
    """

    def __init__(self, config: Any) -> None:
        self.run_settings = RunSettings.from_config(config)
        self.split_diagnostics: dict[str, Any] = {}
        ensure_dataset(config["dataset"], Path(config["data_path"]))
        super().__init__(config)
        self._check_interactions()
        self.features = self._load_features()

    def _get_preset(self) -> None:
        super()._get_preset()
        self.folder = Path(self.dataset_path)
        self.manifest = read_manifest(self.folder) if self.folder.is_dir() else {}
        default = str(self.manifest.get("default_protocol", "random"))
        self.protocol = self.run_settings.protocol or default
        if self.protocol == "files":
            self._refuse_filters()
            self.part_names = self._part_files()
            self.benchmark_filename_list = list(self.part_names.values())
        if self.protocol == "time":
            columns = (self.config["load_col"] or {}).get("inter")
            if columns is not None and self.config["TIME_FIELD"] not in columns:
                columns.append(self.config["TIME_FIELD"])

    def _get_field_from_config(self) -> None:
        super()._get_field_from_config()
        self._check_files()

    def _load_feat(self, filepath: str, source: Any) -> Any:
        """RecBole's reader; whatever a damaged table makes it raise, the file is what is wrong."""
        try:
            return super()._load_feat(filepath, source)
        except UserError:
            raise
        except DAMAGED as error:
            raise UserError(
                f"{filepath}: not readable as a table ({reason(error)}); write it again"
            ) from error

    def _data_processing(self) -> None:
        try:
            super()._data_processing()
        except UserError:
            raise
        except ValueError as error:
            # "Some feat is empty": RecBole does not say whose.
            raise UserError(
                f"{self.folder}: {reason(error)} Check the files and the filters "
                "(`user_inter_num_interval`, `item_inter_num_interval`, `val_interval`)"
            ) from error

    def _data_filtering(self) -> None:
        if self.inter_feat is None:
            raise UserError(
                f"{self.folder}: no column of the interactions is loaded; check `load_col`"
            )
        super()._data_filtering()

    def _filter_nan_user_or_item(self) -> None:
        """Drop rows without user or item; RecBole's own takes labels for positions after a drop."""
        for feat, fields in (
            (self.user_feat, [self.uid_field]),
            (self.item_feat, [self.iid_field]),
            (self.inter_feat, [self.uid_field, self.iid_field]),
        ):
            if feat is None:
                continue
            missing = feat.index[feat[fields].isnull().any(axis=1)]
            if len(missing):
                getLogger("recbole_painvrl").warning(
                    "%d rows without %s were dropped", len(missing), " or ".join(fields)
                )
                feat.drop(missing, inplace=True)

    def _remove_duplication(self) -> None:
        """RecBole keeps repeated pairs; a split could then put one pair into two parts."""
        super()._remove_duplication()
        before = len(self.inter_feat)
        pair = [self.uid_field, self.iid_field]
        self.inter_feat.drop_duplicates(subset=pair, keep="first", inplace=True)
        if len(self.inter_feat) < before:
            getLogger("recbole_painvrl").info(
                "%d repeated (user, item) rows were dropped", before - len(self.inter_feat)
            )

    def _part_files(self) -> dict[str, str]:
        """Part -> suffix of its file; the IID test may be called ``test`` or ``iid``."""
        found = {
            path.name[len(self.dataset_name) + 1 : -len(".inter")]
            for path in self.folder.glob(f"{self.dataset_name}.*.inter")
        }
        names = {part: part for part in PARTS if part in found}
        if TEST not in names and "iid" in found:
            names[TEST] = "iid"
        if TRAIN not in names or not ({TEST, OOD} & set(names)):
            raise UserError(
                f"{self.folder}: protocol `files` needs {self.dataset_name}.train.inter and "
                f"{self.dataset_name}.test.inter, found splits {sorted(found) or 'none'}; "
                "add them or choose `--protocol=random`"
            )
        return names

    def _refuse_filters(self) -> None:
        """RecBole filters nothing where the parts are files, and does not say so."""
        for name in _FILTERS:
            value = self.config[name]
            if value is not None and str(value).replace(" ", "") != "[0,inf)":
                raise UserError(
                    f"`{name}`: found {value!r} with protocol `files`, which takes its parts "
                    "as they are; filter with `python -m dataset_prep` or change the `protocol`"
                )

    def _check_files(self) -> None:
        suffixes = [f".{name}" for name in self.benchmark_filename_list or ()] or [""]
        for suffix in suffixes:
            path = self.folder / f"{self.dataset_name}{suffix}.inter"
            check_inter_file(path, (self.uid_field, self.iid_field), self.config["field_separator"])

    def _check_interactions(self) -> None:
        if len(self.inter_feat) == 0 or self.item_num < 2 or self.user_num < 2:
            raise UserError(
                f"{self.folder}: no interactions are left; check the file and the filters "
                "(`user_inter_num_interval`, `item_inter_num_interval`, `val_interval`)"
            )

    def _load_features(self) -> Features:
        known = available_modalities(self.folder)
        wanted = known if self.run_settings.modalities is None else self.run_settings.modalities
        tokens = {
            str(token): number
            for number, token in enumerate(self.field2id_token[self.iid_field])
            if number
        }
        matrices, slices, counts, start = [], {}, {}, 0
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
            slices[modality] = slice(start, start + aligned.matrix.shape[1])
            start = slices[modality].stop
            counts[modality] = {
                "columns": int(aligned.matrix.shape[1]),
                "items_without_row": aligned.n_missing,
                "unknown_rows": aligned.n_unknown,
                "constant_columns": aligned.n_constant_columns,
            }
            self._report_gaps(modality, counts[modality])
        matrix = torch.cat(matrices, dim=1) if matrices else torch.zeros(self.item_num, 0)
        return Features(matrix, slices, counts)

    def _report_gaps(self, modality: str, counts: dict[str, int]) -> None:
        words = {
            "items_without_row": f"of {self.item_num - 1} items have no row "
            f"(`missing_modality: {self.run_settings.missing_modality}`)",
            "unknown_rows": "rows belong to items that the interactions lack",
            "constant_columns": f"of {counts['columns']} columns are constant",
        }
        found = [f"{counts[name]} {text}" for name, text in words.items() if counts[name]]
        if found:
            getLogger("recbole_painvrl").info("modality %s: %s", modality, "; ".join(found))

    def build_parts(self) -> dict[str, ModalityDataset]:
        """The parts of the protocol in force, as datasets that share one id map."""
        if self.protocol == "random":
            datasets = dict(zip((TRAIN, VALID, TEST), self._random_parts(), strict=True))
            sizes = {part: len(dataset) for part, dataset in datasets.items()}
            self.split_diagnostics = {"sizes": sizes}
        else:
            self._change_feat_format()
            self._drop_unused_col()
            split = self._split()
            self.split_diagnostics = split.diagnostics
            datasets = {
                part: self.copy(self.inter_feat[torch.from_numpy(rows)])
                for part, rows in split.rows.items()
            }
        for part, dataset in datasets.items():
            if len(dataset) == 0:
                raise UserError(
                    f"{self.folder}: part `{part}` of protocol `{self.protocol}` is empty; "
                    "the dataset is too small for this protocol"
                )
        return datasets

    def save(self) -> None:
        """RecBole's pickle of a dataset, which it later reads whatever has become of the files.

        Raises:
            UserError: always; without a pickle RecBole's own entry points read the files.
        """
        raise UserError(
            "`save_dataset`: found True, expected False: the dataset's own files are read, never "
            "a pickle of them, which may be out of date"
        )

    def _random_parts(self) -> list[ModalityDataset]:
        """RecBole's split by ``eval_args``."""
        try:
            parts: list[ModalityDataset] = super().build()
        except UserError:
            raise
        except (ValueError, TypeError, NotImplementedError, AssertionError) as error:
            raise UserError(
                f"`eval_args`: {reason(error)}; expected a split such as "
                "`{split: {RS: [0.8, 0.1, 0.1]}}`"
            ) from error
        return parts

    def build(self) -> list[ModalityDataset]:
        """RecBole's entry point: train, validation and IID test, the OOD parts hung on them.

        ``further`` of the validation and test datasets holds what RecBole's three places cannot.
        """
        parts = self.build_parts()
        if VALID not in parts:
            raise UserError(
                "`validation_share: 0`: RecBole's own entry points need a validation part; "
                "use `python run_recbole.py`, or set a share"
            )
        history = [parts[TRAIN], parts[VALID]]
        for near, far in ((VALID, OOD_VALID), (TEST, OOD)):
            parts[near].further = {far: parts[far]} if far in parts else {}
            parts[near].history = history
        # RecBole evaluates one test set; our trainers add the OOD test that hangs on it.
        parts[TEST].evaluate_further = True
        return [parts[TRAIN], parts[VALID], parts[TEST]]

    def _split(self) -> Split:
        users = self.inter_feat[self.uid_field].numpy().astype(np.int64)
        items = self.inter_feat[self.iid_field].numpy().astype(np.int64)
        s = self.run_settings
        if self.protocol == "files":
            return self._split_by_files(users, items)
        if self.protocol == "popularity":
            return popularity_split(users, items, s.ood_fraction, s.split_seed)
        if self.protocol == "time":
            if self.time_field not in self.inter_feat:
                raise UserError(
                    f"{self.folder}: protocol `time` needs a column `{self.time_field}:float` in "
                    f"{self.dataset_name}.inter; add it or choose another protocol"
                )
            times = self.inter_feat[self.time_field].numpy().astype(np.float64)
            return time_split(users, items, times, s.ood_fraction, s.split_seed)
        content = self.features.matrix if s.split_environment_model == "content" else None
        return iid_ood_split(users, items, content, s, self.folder)

    def _split_by_files(self, users: IntArray, items: IntArray) -> Split:
        ends = np.cumsum(self.file_size_list)
        starts = np.concatenate([[0], ends[:-1]])
        rows = {
            part: np.arange(start, end)
            for part, start, end in zip(self.part_names, starts, ends, strict=True)
        }
        known = "planted" if self.manifest.get("planted") else "as in the files"
        diagnostics: dict[str, Any] = {"shift": known}
        check_parts(rows, users, items, self.folder)
        share = self.run_settings.validation_share
        if VALID not in rows and share > 0:
            rng = np.random.default_rng([self.run_settings.split_seed, 0])
            size = round(share * len(rows[TRAIN]))
            rows[TRAIN], rows[VALID] = hold_out(rows[TRAIN], users, items, size, rng)
            diagnostics["valid"] = f"{share:.0%} of the training file; there is no validation file"
        return drop_cold(Split(rows, diagnostics), users, items)
