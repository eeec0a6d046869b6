"""What a run says about the shift between its IID and its OOD test."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from logging import getLogger
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from recbole_painvrl.atomic import write_json
from recbole_painvrl.data.splits.base import OOD, TEST, TRAIN, VALID, IntArray
from recbole_painvrl.data.splits.iid_ood import departures, fit_parameters, fixed_ultragcn
from recbole_painvrl.evaluation.shift import LEAST, LEVEL, VERSION, FloatArray, describe_shift
from recbole_painvrl.reading import is_number, parse_json

if TYPE_CHECKING:
    from recbole_painvrl.config.settings import RunSettings
    from recbole_painvrl.data.dataset import ModalityDataset

_WITHOUT = "no OOD test: nothing is known about robustness; "
_PROTOCOLS = (
    "`--protocol=popularity` makes one, `--protocol=time` of data with times, "
    "`--protocol=iid_ood` as in the paper"
)
# At this fraction of cold interactions or more, a sentence explains what that means.
_MUCH_COLD = 0.2
# Training interactions up to which an UltraGCN is trained unasked.
_QUICK = 60_000
# If popularity reaches this fraction of a model's metric, it explains most of it.
_MOSTLY_POPULARITY = 0.8

Metrics = dict[str, float]


class Popularity(nn.Module):
    """Scores an item by its number of training interactions, for everybody: RecBole's Pop.

    Args:
        dataset: the training split.
    """

    def __init__(self, dataset: ModalityDataset) -> None:
        super().__init__()
        items = dataset.inter_feat[dataset.iid_field]
        self._fields = dataset.uid_field, dataset.iid_field
        self.register_buffer("counts", torch.bincount(items, minlength=dataset.item_num).float())
        self.counts: Tensor

    def predict(self, interaction: Any) -> Tensor:
        """Scores of (user, item) pairs, ``[B]``."""
        return self.counts[interaction[self._fields[1]]]

    def full_sort_predict(self, interaction: Any) -> Tensor:
        """Scores of users with all items, ``[B * n_items]``."""
        return self.counts.repeat(len(interaction[self._fields[0]]))


def shift_of_run(
    dataset: ModalityDataset,
    parts: Mapping[str, ModalityDataset],
    pop: Mapping[str, Metrics],
    metrics: Mapping[str, Mapping[str, float]],
) -> dict[str, Any]:
    """The entry ``shift`` of ``result.json``.

    Args:
        dataset: the whole dataset.
        parts: all splits, tests included.
        pop: metrics of popularity, by test; empty where there are none.
        metrics: of the run's own model, by test.
    """
    settings = dataset.run_settings
    cold = _cold(dataset.split_diagnostics, OOD in parts)
    found: dict[str, Any] = {"kind": None, "cold": cold}
    if OOD not in parts:
        whole = dataset.folder / f"{dataset.dataset_name}.inter"
        found["other_protocols"] = whole.is_file()
        remedy = _PROTOCOLS if whole.is_file() else f"protocols that make one need {whole.name}"
        return found | {"sentences": [_WITHOUT + remedy]}
    pairs = {name: _pairs(part) for name, part in parts.items()}
    inside = [pairs[name] for name in (TRAIN, VALID, TEST) if name in pairs]
    users, items = (np.concatenate(sides) for sides in zip(*inside, strict=True))
    matrix = dataset.features.matrix.numpy()
    features = {name: matrix[:, columns] for name, columns in dataset.features.slices.items()}
    found |= kept_shift(dataset.folder, (users, items), pairs[OOD], features, settings.split_seed)
    counts = np.bincount(pairs[TRAIN][1], minlength=dataset.item_num)
    found["mean_training_popularity"] = {
        _public(name): float(counts[pairs[name][1]].mean()) for name in (TEST, OOD) if name in pairs
    }
    if pop:
        found["pop"] = dict(pop)
    ndcg = dataset.split_diagnostics.get("ultragcn_ndcg@10")
    wanted = settings.shift_ultragcn
    if wanted == "auto":
        wanted = len(pairs[TRAIN][0]) <= _QUICK
    if ndcg is None and wanted:
        ndcg = kept_ultragcn(dataset.folder, pairs, dataset.user_num, dataset.item_num, settings)
    if ndcg is not None:
        found["ultragcn_ndcg@10"] = {_public(name): value for name, value in ndcg.items()}
    if dataset.protocol == "iid_ood":
        found["departures"] = departures(settings)
    metric = str(dataset.config["valid_metric"]).lower()
    # Pop is not compared with itself, and metrics of which less is better are not compared.
    compared = dataset.config["model"] != "Pop" and dataset.config["valid_metric_bigger"]
    own = metrics if compared else {}
    found["sentences"] = [*_sentences(found, own, metric, str(dataset.config["model"]))]
    return found


def kept_shift(
    folder: Path,
    iid: tuple[IntArray, IntArray],
    ood: tuple[IntArray, IntArray],
    features: Mapping[str, FloatArray],
    seed: int,
) -> dict[str, Any]:
    """:func:`describe_shift`, computed once per data and split for all runs of a grid.

    It is saved in the ``caches/`` of the dataset's folder under a hash of data, split and seed.
    """
    key = _key([VERSION, seed, *features], (*iid, *ood, *features.values()))
    path = folder / "caches" / f"shift-{key}.json"
    needed = {"kind", "shifted", "modalities"}
    return _kept(path, needed.issubset, lambda: describe_shift(iid, ood, features, seed))


def kept_ultragcn(
    folder: Path,
    pairs: Mapping[str, tuple[IntArray, IntArray]],
    n_users: int,
    n_items: int,
    settings: RunSettings,
) -> dict[str, Any]:
    """:func:`fixed_ultragcn`, computed once as :func:`kept_shift` is."""
    named = {name: pairs[name] for name in (TRAIN, VALID, TEST, OOD) if name in pairs}
    words = [fit_parameters(settings.split_epochs), settings.split_seed, n_users, n_items, *named]
    key = _key(words, [side for sides in named.values() for side in sides])
    path = folder / "caches" / f"ultragcn-{key}.json"

    def is_whole(kept: Mapping[str, Any]) -> bool:
        return all(is_number(kept.get(name)) for name in (TEST, OOD) if name in named)

    def compute() -> dict[str, float]:
        getLogger("recbole_painvrl").info("a fixed UltraGCN for the shift (once, then cached)")
        return fixed_ultragcn(named, n_users, n_items, settings)

    return _kept(path, is_whole, compute)


def _key(words: Sequence[Any], arrays: Iterable[npt.NDArray[Any]]) -> str:
    digest = hashlib.sha256(json.dumps(words).encode())
    for array in arrays:
        digest.update(f"{array.shape}{array.dtype}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:24]


def _kept(
    path: Path,
    is_whole: Callable[[dict[str, Any]], bool],
    compute: Callable[[], Mapping[str, Any]],
) -> dict[str, Any]:
    """The content of a JSON file, or what is computed and saved there."""
    try:
        kept: dict[str, Any] = parse_json(path.read_text(encoding="utf-8"))
        if not isinstance(kept, dict) or not is_whole(kept):
            raise ValueError("it lacks measures")
        return kept
    except FileNotFoundError:
        pass
    except (OSError, ValueError, TypeError) as error:
        getLogger("recbole_painvrl").warning("%s: unreadable (%s), computed again", path, error)
    found = dict(compute())
    try:
        path.parent.mkdir(exist_ok=True)
        write_json(path, found)
    except OSError as error:
        getLogger("recbole_painvrl").debug("%s: not kept (%s)", path, error)
    return found


def _public(name: str) -> str:
    return "iid" if name == TEST else name


def _pairs(part: ModalityDataset) -> tuple[IntArray, IntArray]:
    table = part.inter_feat
    users, items = (table[name].numpy() for name in (part.uid_field, part.iid_field))
    return users.astype(np.int64), items.astype(np.int64)


def _cold(diagnostics: Mapping[str, Any], has_ood: bool) -> dict[str, dict[str, float]]:
    """Rows dropped from every split but training: count and fraction."""
    dropped, sizes = diagnostics.get("cold_dropped", {}), diagnostics["sizes"]
    return {
        _public(name) if has_ood else name: {
            "dropped": n,
            "fraction": n / max(1, n + sizes.get(name, 0)),
        }
        for name, n in dropped.items()
    }


def _sentences(
    found: Mapping[str, Any],
    metrics: Mapping[str, Mapping[str, float]],
    metric: str,
    model: str,
) -> Iterator[str]:
    """The kind of shift first; then what puts the protocol in question."""
    yield _kind(found)
    cold = found["cold"].get(OOD, {"dropped": 0, "fraction": 0.0})
    if cold["dropped"]:
        words = f"{cold['dropped']} ({cold['fraction']:.1%}) of the OOD interactions were dropped "
        words += "as cold"
        if cold["fraction"] >= _MUCH_COLD:
            words += ", so the test says nothing about new users and items, which are many"
        yield words
    pop = found.get("pop", {})
    if metric in pop.get(OOD, {}):
        values = {name: one[metric] for name, one in pop.items()}
        words = "popularity alone (Pop): " + ", ".join(
            f"{metric} {value:.4f} {name.upper()}" for name, value in values.items()
        )
        own = metrics.get("iid", {}).get(metric)
        iid, ood = values.get("iid", np.nan), values[OOD]
        if own is not None and own <= iid:
            words += f"; {model} is not above it in distribution ({own:.4f})"
        elif own and iid >= _MOSTLY_POPULARITY * own:
            words += f"; that is {iid / own:.0%} of {model}'s IID value, so the IID test is mostly "
            words += "about popularity"
        shifted = metrics.get(OOD, {}).get(metric, np.nan)
        if own and own > iid and shifted < ood:
            words += f"; {model} is above popularity in distribution ({own:.4f}) and below it out "
            words += f"of distribution ({shifted:.4f})"
        yield words
    ndcg = found.get("ultragcn_ndcg@10", {})
    if ndcg.get("iid"):
        change = ndcg[OOD] / ndcg["iid"] - 1
        yield (
            f"a fixed ID-only UltraGCN has NDCG@10 {ndcg['iid']:.4f} IID and {ndcg[OOD]:.4f} OOD "
            f"({change:+.0%})"
        )
    elif not ndcg:
        yield "`--shift_ultragcn=True` also tells how much harder the OOD test is for UltraGCN"
    if "departures" in found:
        yield f"differs from the paper's 4.2.2: {'; '.join(found['departures'])}"


def _kind(found: Mapping[str, Any]) -> str:
    """One sentence: popularity, content, both, other, or none found; with its figures."""
    popularity = found.get("popularity", {"auc": 0.5})["auc"]
    by_popularity = f"{'more' if popularity > 0.5 else 'less'} popular items (AUC {popularity:.2f})"
    aucs = {name: f"{name} {one['auc']:.2f}" for name, one in found["modalities"].items()}
    content = ", ".join(aucs[name] for name in found["shifted"])
    content = f"items that differ in their features (AUC {content}, at equal popularity)"
    rest = [words for name, words in aucs.items() if name not in found["shifted"]]
    others = f"; no shift found in {', '.join(rest)}" if rest else ""
    unknown = "" if aucs else "; this run has no features, so nothing is known about content"
    others += unknown
    match found["kind"]:
        case "popularity":
            return f"shift of popularity: OOD interactions are with {by_popularity}{others}"
        case "content":
            return f"shift of content: OOD interactions are with {content}{others}"
        case "both":
            return (
                f"shift of popularity and content: OOD interactions are with {by_popularity} and "
                f"{content}{others}"
            )
        case "other":
            features, explained = "", "popularity does not explain"
            if aucs:
                features = " nor ones of other features"
                explained = "neither popularity nor features explain"
            return (
                f"shift of items that {explained}, as by IDs or time: "
                f"OOD interactions are with other items (AUC {found['items']['auc']:.2f}), not "
                f"with more or less popular ones{features}{unknown}"
            )
    measured = "popularity or features" if aucs else "popularity"
    return (
        f"no shift of items found, in {measured} (AUC within {LEAST:g} of 0.5, or "
        f"chance at level {LEVEL:.0%}); who likes which item may differ all the same{unknown}"
    )
