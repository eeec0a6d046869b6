"""The protocol ``files``: one file per split; and checks for settings that a protocol ignores."""

from __future__ import annotations

from collections.abc import Mapping
from logging import getLogger
from pathlib import Path
from typing import Any

import numpy as np

from recbole_painvrl.config import RunSettings
from recbole_painvrl.data.splits.base import (
    OOD,
    SPLITS,
    TEST,
    TRAIN,
    VALID,
    IntArray,
    Split,
    check_splits,
    distinct_rows,
    drop_cold,
    hold_out,
)
from recbole_painvrl.errors import UserError

_FILTERS = ("user_inter_num_interval", "item_inter_num_interval", "val_interval", "rm_dup_inter")
# RecBole's defaults.
_SPLIT_ARGUMENTS = {"split": {"RS": [0.8, 0.1, 0.1]}, "order": "RO", "group_by": "user"}

# Settings of a split by the protocols that read them.
READ_BY = {
    "split_seed": ("files", "iid_ood", "popularity", "time"),
    "split_environment_model": ("iid_ood",),
    "split_epochs": ("iid_ood",),
    "split_rounds": ("iid_ood",),
    "split_variant": ("iid_ood",),
    "ood_fraction": ("popularity", "time"),
    "validation_share": ("files",),
}


def split_files(folder: Path, dataset: str) -> dict[str, str]:
    """Split -> suffix of its file; the IID test may be called ``test`` or ``iid``.

    Raises:
        UserError: there is no training file or no test file.
    """
    found = {
        path.name[len(dataset) + 1 : -len(".inter")] for path in folder.glob(f"{dataset}.*.inter")
    }
    names = {split: split for split in SPLITS if split in found}
    if TEST not in names and "iid" in found:
        names[TEST] = "iid"
    if TRAIN not in names or not ({TEST, OOD} & set(names)):
        raise UserError(
            f"{folder}: protocol `files` needs {dataset}.train.inter and {dataset}.test.inter, "
            f"found splits {sorted(found) or 'none'}; add them or choose `--protocol=random`"
        )
    unread = [f"{dataset}.{name}.inter" for name in sorted(found - set(names.values()))]
    if unread:
        getLogger("recbole_painvrl").warning(
            "not read: %s; the splits are train, valid, test (or iid), ood_valid and ood",
            ", ".join(unread),
        )
    return names


def benchmark_files(given: list[str], protocol: str | None) -> dict[str, str]:
    """The same from RecBole's ``benchmark_filename``, in the order of the splits.

    Args:
        given: suffixes of the files.
        protocol: the user's setting, or None.

    Raises:
        UserError: another protocol is set, or the files are neither two nor three.
    """
    if protocol not in (None, "files"):
        raise UserError(
            f"`benchmark_filename`: found {given} with protocol `{protocol}`, which makes its own "
            "split; remove one of the two"
        )
    if len(given) not in (2, 3) or len(set(given)) < len(given):
        raise UserError(
            f"`benchmark_filename`: found {given}, expected the files of training, validation and "
            "test, or of training and test only, such as [train, valid, test]"
        )
    return dict(zip((TRAIN, VALID, TEST) if given[2:] else (TRAIN, TEST), given, strict=True))


def files_split(
    sizes: Mapping[str, int],
    users: IntArray,
    items: IntArray,
    settings: RunSettings,
    folder: Path,
    planted: bool,
) -> Split:
    """The split of a table with the concatenated rows of all files.

    Args:
        sizes: rows of each split, in the order of the table.
        users: user of every row, ``[n]``.
        items: item of every row, ``[n]``.
        settings: ``validation_share`` of the training rows is held out if there is no
            validation file, seeded by ``split_seed``.
        folder: named in messages.
        planted: whether the manifest calls the dataset planted.

    Raises:
        UserError: rows without user or item, or pairs in two files.
    """
    ends = np.cumsum(list(sizes.values()))
    rows = {name: np.arange(end - sizes[name], end) for name, end in zip(sizes, ends, strict=True)}
    check_splits(rows, users, items, folder)
    for name, of_split in rows.items():
        # A repeated pair could otherwise be in training and in the validation held out of it.
        rows[name] = of_split[distinct_rows(users[of_split], items[of_split])]
        if len(rows[name]) < len(of_split):
            getLogger("recbole_painvrl").info(
                "%d repeated (user, item) rows of the %s file were dropped",
                len(of_split) - len(rows[name]),
                name,
            )
    diagnostics: dict[str, Any] = {"shift": "planted" if planted else "as in the files"}
    fraction = settings.validation_share
    if VALID not in rows and fraction > 0:
        rng = np.random.default_rng([settings.split_seed, 0])
        n, size = len(rows[TRAIN]), round(fraction * len(rows[TRAIN]))
        rows[TRAIN], rows[VALID] = hold_out(rows[TRAIN], users, items, size, rng)
        held = len(rows[VALID])
        words = f"{held} of {n} interactions of the training file ({held / n:.1%})"
        if held < size:
            words += f" in place of {size}, since every user and item keeps one"
        diagnostics["valid"] = f"{words}; there is no validation file"
    elif VALID in rows and fraction != RunSettings.model_fields["validation_share"].default:
        getLogger("recbole_painvrl").warning(
            "`validation_share` has no effect: %s has a validation file", folder
        )
    return drop_cold(Split(rows, diagnostics), users, items)


def refuse_filters(config: Any) -> None:
    """Refuse filters, which RecBole silently ignores if the splits are files.

    Raises:
        UserError: a filter is set.
    """
    for name in _FILTERS:
        value = config[name]
        # `rm_dup_inter: first` is what this protocol does anyway.
        idle = "first" if name == "rm_dup_inter" else "[0,inf)"
        if value is not None and str(value).replace(" ", "") != idle:
            raise UserError(
                f"`{name}`: found {value!r} with protocol `files`, which does not filter "
                "its splits; filter with `python -m dataset_prep` or change the `protocol`"
            )


def refuse_split_arguments(config: Any, protocol: str) -> None:
    """Refuse split arguments of ``eval_args``, which only protocol ``random`` uses.

    Raises:
        UserError: ``split``, ``order`` or ``group_by`` is not the default.
    """
    for name, default in _SPLIT_ARGUMENTS.items():
        value = config["eval_args"][name]
        ratios = value.get("RS") if isinstance(value, Mapping) else None
        if ratios and sum(ratios) > 0:
            # RecBole's ratios need not sum to 1.
            value = {"RS": [round(ratio / sum(ratios), 9) for ratio in ratios]}
        if value != default:
            raise UserError(
                f"`eval_args: {name}`: found {value!r} with protocol `{protocol}`, which does "
                "not use it; remove it or choose `--protocol=random`"
            )


def warn_of_idle_settings(settings: RunSettings, config: Any, protocol: str) -> None:
    """Warn of split settings that the protocol does not use."""
    sampled = any(mode[:3] in ("uni", "pop") for mode in config["eval_args"]["mode"].values())
    # The fixed UltraGCN that measures a shift reads them with every protocol with an OOD test.
    measured = protocol != "random" and settings.shift_ultragcn is not False
    read = {"split_seed": sampled, "split_epochs": measured}
    for name, protocols in READ_BY.items():
        changed = getattr(settings, name) != type(settings).model_fields[name].default
        if changed and protocol not in protocols and not read.get(name, False):
            instead = "; its split follows `seed`" if name == "split_seed" else ""
            getLogger("recbole_painvrl").warning(
                "`%s` has no effect with protocol `%s`%s", name, protocol, instead
            )
