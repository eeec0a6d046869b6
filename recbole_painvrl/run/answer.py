"""What a run with a learnt mask found, in at most eight lines of plain words.

Rules, by what ``result.json`` holds:

* *backbone*: the final model against the same model with all features, same settings, by paired
  tests over the users on each test, where that was trained (a candidate of ``mask_form: auto``, or
  ``compare_backbone: True``); otherwise against the backbone of the first stage, which has L2
  weights of its own. Another final model is not compared.
* *mask*: with planted truth ``recovered`` from an AUC of 0.9 of the learnt values on, and otherwise
  ``not recovered``; without truth ``nothing found`` where `mask_form: auto` finds no spurious
  columns, with another form where the final model has all features or none or the values of no
  modality form two groups; otherwise ``not known``.
* *environments*: with planted truth ``recovered`` from an adjusted Rand index of 0.5 on, otherwise
  ``not recovered``; without truth ``not known``; ``given`` with ``known_environments``.
* *oracle*: (final - all features) / (oracle mask - all features) on the OOD test, where both were
  trained and the oracle is ahead by at least 2 %.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from recbole_painvrl.run.next_command import next_command

if TYPE_CHECKING:
    from recbole_painvrl.evaluation.comparison import Comparison, Method

RECOVERED_AUC, IN_PART, RECOVERED_RAND = 0.9, 0.7, 0.5
# Below this relative lead of the oracle mask, the fraction of the lead is not reported.
SMALLEST_GAP = 0.02
_FINAL, _OTHER = "final", "other"
_VERDICTS = {
    "better": "significantly better",
    "worse": "significantly worse",
    "the tests disagree": "the two tests disagree",
}

Evaluated = Mapping[str, tuple[Mapping[str, float], Any]]


def compared(final: Evaluated, other: Evaluated, metric: str, seed: int) -> list[Comparison]:
    """The final model against another one, one comparison per test.

    Args:
        final: test to its metrics, and its frame of values per user.
        other: the same of the model with all features, or of the backbone.
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

    methods = [method(_FINAL, final), method(_OTHER, other)]
    return compare(methods, _FINAL, _OTHER, [(test, metric) for test in final])


def answer(
    result: Mapping[str, Any], known: bool, found: list[Comparison], same_settings: bool = True
) -> dict[str, Any]:
    """The entry ``answer`` of ``result.json``.

    Args:
        result: the rest of ``result.json``.
        known: whether the environments were given.
        found: of :func:`compared`; empty where there is nothing to compare with.
        same_settings: whether that was with the model with all features, trained with the same
            settings; otherwise with the backbone.
    """
    planted, form = result.get("planted", {}), result["mask"]
    entry: dict[str, Any] = {
        "backbone": {one.part: one.outcome for one in found},
        "mask": _mask(planted, form),
        "environments": _environments(planted, known),
        "oracle_gap": _gap(result, found) if same_settings else None,
    }
    entry["lines"] = [*_lines(result, entry, found, same_settings)]
    return entry


def _mask(planted: Mapping[str, Any], form: Mapping[str, Any]) -> str:
    if "mask_auc" in planted:
        good = planted["mask_auc"]["overall"] >= RECOVERED_AUC
        return "recovered" if good else "not recovered"
    if form["form"] == "auto":
        # The cut mask is a candidate only if the test found spurious columns, whatever was chosen.
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
    """Fraction of the oracle's lead on the OOD test that the final model has; None without one."""
    one = next((each for each in found if each.part == "ood"), None)
    oracle = result.get("planted", {}).get("oracle", {}).get("ood")
    if one is None or oracle is None:
        return None
    from recbole_painvrl.evaluation.comparison import smaller_is_better

    lead = oracle[one.metric] - one.other_value
    gap = -lead if smaller_is_better(one.metric) else lead
    if gap <= 0 or gap < SMALLEST_GAP * abs(one.other_value):
        return None
    return float((one.value - one.other_value) / lead)


def _lines(
    result: Mapping[str, Any],
    entry: Mapping[str, Any],
    found: list[Comparison],
    same_settings: bool,
) -> Iterator[str]:
    planted, used = result.get("planted", {}), result["mask"]["used"]
    kept = used == "ones"
    yield _backbone(kept, found, same_settings)
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
    if used == "zeros" or (kept and entry["mask"] != "nothing found"):
        but = "but " if entry["mask"] == "recovered" else ""
        words += f"; {but}the final model has {'all' if kept else 'no'} features"
    yield f"mask: {entry['mask']}; {words}"
    words = {
        "recovered": "the planted ones",
        "not recovered": "they are not the planted ones",
        "not known": "this split has no planted ones to compare with",
        "given": "the planted ones were used, none were identified",
    }[entry["environments"]]
    if planted.get("environment_ari") is not None:
        words += (
            f" (adjusted Rand {planted['environment_ari']:.2f}, a classifier that knows them "
            f"{planted['environment_ari_supervised']:.2f})"
        )
    yield f"environments: {entry['environments']}; {words}"
    if "oracle" in planted:
        yield _oracle(result, entry, bool(found) and same_settings)
    if "planted" in result["edition"]:
        yield f"synthetic: {result['edition']}; figures like these need not hold for real data"
    else:
        yield f"synthetic: no part of the data is known to be ({result['edition']})"
    yield "one training of each model: how much another seed changes is not known"
    yield f"next: {next_command(result, (bool(found) and same_settings) or kept)}"


def _backbone(kept: bool, found: list[Comparison], same_settings: bool) -> str:
    if not found and kept:
        return "backbone: not compared; the final model has all features"
    if not found:
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
    if same_settings:
        return f"backbone (all features, same settings): {'; '.join(words)}"
    rest = (
        "the final model has all features, too"
        if kept
        else "the same model with all features was not trained (`--compare_backbone=True`)"
    )
    return f"backbone (first stage, L2 weights of its own): {'; '.join(words)}; {rest}"


def _oracle(result: Mapping[str, Any], entry: Mapping[str, Any], same_settings: bool) -> str:
    """Score with the true mask; the fraction of its lead only where it is known."""
    oracle = result["planted"]["oracle"]
    test = "ood" if "ood" in oracle else next(iter(oracle))
    metric = str(result["valid_metric"]).lower()
    metric = metric if metric in oracle[test] else next(iter(oracle[test]))
    words = f"oracle mask: {test.upper()} {metric} {oracle[test][metric]:.4f}, "
    value, used = result["metrics"][test][metric], result["mask"]["used"]
    if used == "ones":
        return words + f"all features {value:.4f}, which the final model has; no gap is closed"
    if used == "zeros":
        return words + f"the final model, which has no features, {value:.4f}"
    words += f"learnt {value:.4f}; "
    if entry["oracle_gap"] is not None:
        return words + f"{entry['oracle_gap']:.0%} of the gap to all features is closed"
    if same_settings and test == "ood":
        return words + f"all features are within {SMALLEST_GAP:.0%} of the oracle mask, or better"
    return words + "the gap to all features was not measured"
