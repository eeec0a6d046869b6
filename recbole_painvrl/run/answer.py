"""What a run with a learnt mask found, in at most eight lines of plain words.

Rules, by what ``result.json`` holds:

* *backbone*: the final model against the same model with all features, same settings, by paired
  tests over the users on each test (``compare_backbone: True``); otherwise it is said that this
  was not compared.
* *mask*: with planted truth ``recovered`` from an AUC of 0.9 of the learnt values on, and otherwise
  ``not recovered``; without truth ``nothing found`` where `mask_form: auto` finds no spurious
  columns, the final model keeps all features or none, or the values of no modality form two
  groups, and otherwise ``not known``.
* *environments*: with planted truth ``recovered`` from an adjusted Rand index of 0.5 on, otherwise
  ``not recovered``; without truth ``not known``; ``given`` with ``known_environments``.
* *oracle*: (final - all features) / (oracle mask - all features) on the OOD test, where both were
  trained and the oracle is ahead.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recbole_painvrl.evaluation.comparison import Comparison, Method

RECOVERED_AUC, IN_PART, RECOVERED_RAND = 0.9, 0.7, 0.5
_PROGRAM = ("python", "-m", "recbole_painvrl")
_FINAL, _ALL_FEATURES = "final", "all features"
_VERDICTS = {
    "better": "significantly better",
    "worse": "significantly worse",
    "the tests disagree": "the two tests disagree",
}

Evaluated = Mapping[str, tuple[Mapping[str, float], Any]]


def compared(final: Evaluated, unmasked: Evaluated, metric: str, seed: int) -> list[Comparison]:
    """The final model against the one with all features, one comparison per test.

    Args:
        final: test to its metrics, and its frame of values per user.
        unmasked: the same of the model with all features.
        metric: the metric of both.
        seed: of the run.
    """
    # SciPy's statistics take long to import.
    import pandas as pd

    from recbole_painvrl.evaluation.comparison import Method, compare

    def method(label: str, found: Evaluated) -> Method:
        values = {(test, metric): [metrics[metric]] for test, (metrics, _) in found.items()}
        frame = pd.concat([one for _, one in found.values()], ignore_index=True)
        return Method(label, values, [seed], lambda _: frame)

    methods = [method(_FINAL, final), method(_ALL_FEATURES, unmasked)]
    return compare(methods, _FINAL, _ALL_FEATURES, [(test, metric) for test in final])


def answer(result: Mapping[str, Any], known: bool, found: list[Comparison]) -> dict[str, Any]:
    """The entry ``answer`` of ``result.json``.

    Args:
        result: the rest of ``result.json``.
        known: whether the environments were given.
        found: of :func:`compared`; empty where it was not asked for.
    """
    planted, form = result.get("planted", {}), result["mask"]
    entry: dict[str, Any] = {
        "backbone": {one.part: one.outcome for one in found},
        "mask": _mask(planted, form),
        "environments": _environments(planted, known),
        "oracle_gap": _gap(result, found),
    }
    entry["lines"] = [*_lines(result, entry, found)]
    return entry


def _mask(planted: Mapping[str, Any], form: Mapping[str, Any]) -> str:
    if "mask_auc" in planted:
        good = planted["mask_auc"]["overall"] >= RECOVERED_AUC
        return "recovered" if good else "not recovered"
    if form["form"] == "auto":
        # A test is behind the cut, which is a candidate also where validation decides against it.
        found = form["used"] == "binary" or "binary" in form.get("candidates", ())
    else:
        two_groups = any(one["found"] for one in form.get("two_groups", {}).values())
        found = form["used"] not in ("ones", "zeros") and two_groups
    return "not known" if found else "nothing found"


def _environments(planted: Mapping[str, Any], known: bool) -> str:
    if known:
        return "given"
    rand = planted.get("environment_ari")
    if rand is None:
        return "not known"
    return "recovered" if rand >= RECOVERED_RAND else "not recovered"


def _gap(result: Mapping[str, Any], found: list[Comparison]) -> float | None:
    """Share of the oracle's gap that the learnt mask closes on the OOD test."""
    one = next((each for each in found if each.part == "ood"), None)
    oracle = result.get("planted", {}).get("oracle", {}).get("ood")
    if one is None or oracle is None:
        return None
    gap = oracle[one.metric] - one.other_value
    return float((one.value - one.other_value) / gap) if gap > 0 else None


def _lines(
    result: Mapping[str, Any], entry: Mapping[str, Any], found: list[Comparison]
) -> Iterator[str]:
    planted, used = result.get("planted", {}), result["mask"]["used"]
    kept = used == "ones"
    yield _backbone(kept, found)
    words = {
        "recovered": "the planted columns are told apart",
        "not recovered": "the planted columns are not told apart",
        "nothing found": "no group of columns stands out as spurious",
        "not known": "two groups of columns, but which are spurious is not known in these data",
    }[entry["mask"]]
    if "mask_auc" in planted:
        auc = planted["mask_auc"]["overall"]
        if IN_PART <= auc < RECOVERED_AUC:
            words = "the planted columns are told apart only in part"
        words += f" (AUC {auc:.2f}, chance 0.50)"
    if used in ("ones", "zeros") and entry["mask"] != "nothing found":
        words += f"; yet the final model has {'all' if kept else 'no'} features"
    yield f"mask: {entry['mask']}; {words}"
    words = {
        "recovered": "the planted ones",
        "not recovered": "they are not the planted ones",
        "not known": "these data have no planted ones to compare with",
        "given": "the planted ones were used, none were identified",
    }[entry["environments"]]
    if planted.get("environment_ari") is not None:
        words += (
            f" (adjusted Rand {planted['environment_ari']:.2f}, a classifier that knows them "
            f"{planted['environment_ari_supervised']:.2f})"
        )
    yield f"environments: {entry['environments']}; {words}"
    if "oracle" in planted:
        yield _oracle(result, entry, found)
    if "planted" in result["edition"]:
        yield f"synthetic: {result['edition']}; figures like these need not hold for real data"
    else:
        yield f"synthetic: nothing that the data say ({result['edition']})"
    yield "one training of each model: how much another seed changes is not known"
    yield f"next: {_next(result, bool(found) or kept)}"


def _backbone(kept: bool, found: list[Comparison]) -> str:
    if not found:
        if kept:
            return "backbone: the final model is the backbone with all features; nothing to compare"
        return (
            "backbone: not compared with the same model on all features, so whether the mask "
            "helps is not known"
        )
    words = []
    for one in found:
        change = f"{one.value / one.other_value - 1:+.1%}" if one.other_value else "-"
        verdict = _VERDICTS.get(one.outcome, one.outcome)
        words.append(
            f"{one.part.upper() if one.part != 'test' else 'test'} {one.metric} {one.value:.4f} "
            f"against {one.other_value:.4f} ({change}, {verdict})"
        )
    return f"backbone (all features, same settings): {'; '.join(words)}"


def _oracle(result: Mapping[str, Any], entry: Mapping[str, Any], found: list[Comparison]) -> str:
    """With the true mask; the share of its gap only where the gap is known."""
    oracle = result["planted"]["oracle"]
    test = "ood" if "ood" in oracle else next(iter(oracle))
    metric = str(result["valid_metric"]).lower()
    metric = metric if metric in oracle[test] else next(iter(oracle[test]))
    words = f"oracle mask: {test.upper()} {metric} {oracle[test][metric]:.4f}, "
    value = result["metrics"][test][metric]
    if result["mask"]["used"] == "ones":
        return words + f"all features {value:.4f}, which the final model has; no gap is closed"
    words += f"learnt {value:.4f}; "
    if entry["oracle_gap"] is not None:
        return words + f"{entry['oracle_gap']:.0%} of the gap to all features is closed"
    if found:
        return words + "there is no gap: all features are as good as the oracle mask"
    return words + "the gap to all features was not measured"


def _next(result: Mapping[str, Any], is_compared: bool) -> str:
    """The command that answers what is open."""
    command = list(result["command"])
    if "ood" not in result["metrics"]:
        return shlex.join([*_without(command, "protocol"), "--protocol=popularity"])
    model = result.get("final_model", "UltraGCN")
    if not is_compared and model != "UltraGCN":
        words = [f"--dataset={result['dataset']}", f"--models={model}"]
        return shlex.join(
            [*_PROGRAM, "benchmark", *words, f"--feature-mask={result['run_folder']}"]
        )
    if not is_compared:
        return shlex.join([*_without(command, "compare_backbone"), "--compare_backbone=True"])
    words = [f"--dataset={result['dataset']}", "--what=controls", "--seeds=5"]
    return shlex.join([*_PROGRAM, "ablate", *words])


def _without(command: list[str], setting: str) -> list[str]:
    return [word for word in command if not word.startswith(f"--{setting}=")]
