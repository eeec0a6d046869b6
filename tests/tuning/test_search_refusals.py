"""Searches that are refused: wrong input, and folders or storages of another search."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support import edited

Tune = Callable[..., int]


@pytest.mark.parametrize(
    ("argv", "part"),
    [
        (["--trails=3"], "did you mean `--trials`?"),
        (["--learning_rate=0.1", "--n_negatives=16"], "every setting of the search space is fixed"),
        (["--select_on=ood", "--protocol=random"], "needs an OOD validation split"),
        (["--storage=nosuch://x"], "`--storage`: nosuch://x cannot be used"),
        (["--seed=x"], "`seed`: found 'x' (command line)"),
        (["--space=whole.yaml"], "write `low: 1.0`"),
        (["--space=choices.yaml"], "`n_negatives`: found 0 (search space)"),
        (["--space=high.yaml"], "`ood_fraction`: found 1.5 (search space)"),
        (["--output=whole.yaml"], "whole.yaml: cannot be made (File exists)"),
        (["--storage=whole.yaml/x.journal"], "whole.yaml: cannot be made (File exists)"),
    ],
)
def test_wrong_input_is_one_line(
    argv: list[str],
    part: str,
    tune: Tune,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "whole.yaml").write_text("learning_rate: {low: 1, high: 3}\n")
    (tmp_path / "choices.yaml").write_text("n_negatives: {choices: [16, 0]}\n")
    (tmp_path / "high.yaml").write_text("ood_fraction: {low: 0.1, high: 1.5}\n")
    monkeypatch.chdir(tmp_path)
    assert tune(*argv) == 2
    err = capsys.readouterr().err
    assert part in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "choices", "argv", "part"),
    [
        ("select_on", "[iid, ood]", [], "the search sets it for every trial"),
        ("run_name", "[a, b]", [], "the search sets it for every trial"),
        ("show_progress", "[true, false]", [], "the search sets it for every trial"),
        ("protocol", "[files, popularity]", [], "could not be compared"),
        ("ood_fraction", "[0.1, 0.3]", ["--protocol=popularity"], "could not be compared"),
        ("item_inter_num_interval", "['[1,inf)', '[2,inf)']", ["--protocol=popularity"],
         "could not be compared"),
        ("seed", "[1, 2]", ["--protocol=random"], "could not be compared"),
    ],
)  # fmt: skip
def test_what_all_trials_have_in_common_is_not_searched(
    name: str,
    choices: str,
    argv: list[str],
    part: str,
    tune: Tune,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`best.yaml` would name a value that no trial had, or trials would have other splits."""
    space = tmp_path / "common.yaml"
    space.write_text(f"{name}: {{choices: {choices}}}\n")
    assert tune("--trials=1", f"--space={space}", *argv) == 2
    err = capsys.readouterr().err
    assert f"`{name}`: found it in the search space" in err and part in err
    assert err.count("\n") == 1


def test_values_that_suit_only_some_of_the_other_choices_are_searched(
    tune: Tune, tmp_path: Path
) -> None:
    """A trial of the others fails and says so."""
    space = tmp_path / "pairs.yaml"
    space.write_text(
        "negative_sampling: {choices: [shared, per_positive]}\n"
        "exclude_positives: {choices: [false, true]}\n"
    )
    assert tune("--trials=1", f"--space={space}") == 0


def test_trials_of_another_search_are_never_taken_for_own_ones(
    tune: Tune, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A study is named by model and dataset, its trials' folders by their index alone."""
    assert tune("--trials=1") == 0
    before = (tmp_path / "search" / "trials.csv").read_bytes()
    (tmp_path / "bpr.yaml").write_text("learning_rate: {low: 0.001, high: 0.1}\n")
    other = ("--model=BPR", f"--space={tmp_path / 'bpr.yaml'}")
    for words in (other, (f"--storage={tmp_path / 'other.journal'}", "--seed=9")):
        assert tune("--trials=1", *words) == 2
        assert "holds another search" in capsys.readouterr().err
    assert (tmp_path / "search" / "trials.csv").read_bytes() == before


def test_the_folder_of_another_search_is_refused_where_a_database_is_shared(
    tune: Tune, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its trials have the same names."""
    database = f"--storage=sqlite:///{tmp_path / 'study.db'}"
    other = f"--output={tmp_path / 'other'}"
    assert tune("--trials=1", "--seed=9", other) == 0
    # A refused search leaves nothing in the storage.
    assert tune("--trials=1", database, other) == 2
    assert "holds another search" in capsys.readouterr().err
    assert tune("--trials=1", database) == 0
    assert tune("--trials=1", database, other) == 2
    assert "holds another search" in capsys.readouterr().err
    # A copy may lack the mark; its trials are there.
    (tmp_path / "other" / ".search").unlink()
    assert tune("--trials=1", database, other) == 2
    assert "holds another search" in capsys.readouterr().err
    (tmp_path / "third").mkdir()
    (tmp_path / "third" / "trial-notes.txt").touch()
    assert tune("--trials=1", database, f"--output={tmp_path / 'third'}") == 0
    assert tune("--trials=1", "--seed=9", database, f"--output={tmp_path / 'third'}") == 2
    assert "choose another `--storage` and another `--output`" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changed", "part"),
    [
        ("settings", "has a search with other settings"),
        ("code_hash", "has a search by another version of the code"),
        ("data_hash", "has a search with other data;"),
        ("space", "has a search with other space;"),
        ("scale", "has a search with other space;"),
    ],
)
def test_another_search_in_the_same_folder_is_refused(
    changed: str,
    part: str,
    tune: Tune,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("recbole_painvrl.tuning.worker.work", lambda plan, say, until: None)
    assert tune("--trials=1") == 1
    if changed in ("space", "scale"):
        space = tmp_path / "space.yaml"
        old, new = ("0.1,", "0.2,") if changed == "space" else (", log: true", "")
        space.write_text(space.read_text().replace(old, new))
    elif changed != "settings":
        monkeypatch.setattr(f"recbole_painvrl.tuning.plan.{changed}", lambda *given: "another")
    assert tune("--trials=1", *(["--epochs=3"] if changed == "settings" else [])) == 2
    assert part in capsys.readouterr().err


@pytest.mark.parametrize("changed", ["default_protocol", "truth", "feature_mask"])
def test_a_search_on_other_data_is_refused(
    changed: str,
    tiny_data: Path,
    tune: Tune,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Everything that a trial reads counts, as in a grid."""
    monkeypatch.setattr("recbole_painvrl.tuning.worker.work", lambda plan, say, until: None)
    data, mask = tmp_path / "data" / "tiny", tmp_path / "mask.npz"
    shutil.copytree(tiny_data / "tiny", data)
    np.savez(mask, visual=np.ones(16), acoustic=np.ones(8))
    words = ["--trials=1", f"--data_path={data.parent}"]
    if changed == "feature_mask":
        (tmp_path / "vbpr.yaml").write_text("learning_rate: {low: 0.001, high: 0.1}\n")
        space = tmp_path / "vbpr.yaml"
        words += ["--model=VBPR", f"--space={space}", f"--feature_mask={mask}"]
    assert tune(*words) == 1
    capsys.readouterr()
    assert tune(*words) == 1, "nothing has changed"
    if changed == "default_protocol":
        with edited(data / "manifest.json") as manifest:
            manifest["default_protocol"] = "popularity"
    elif changed == "truth":
        columns = data / "truth" / "columns.tsv"
        columns.write_text(columns.read_text().replace("\t0\n", "\t1\n", 1))
    else:
        np.savez(mask, visual=np.ones(16), acoustic=np.zeros(8))
    assert tune(*words) == 2
    assert "has a search with other data;" in capsys.readouterr().err
