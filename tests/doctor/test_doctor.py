"""`doctor` on intact and broken installations, datasets, folders and runs."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
from email.message import Message
from pathlib import Path

import pytest
from forks import ROOT, fresh

from recbole_painvrl.__main__ import main
from recbole_painvrl.cli import doctor as command
from recbole_painvrl.doctor import system
from recbole_painvrl.doctor.folders import check_datasets, check_runs
from recbole_painvrl.doctor.packages import check_extras, check_required, requirements
from recbole_painvrl.doctor.system import Finding, check_imports, isolated
from recbole_painvrl.locks import file_lock
from recbole_painvrl.run import cgroups


def failures(found: list[Finding]) -> list[str]:
    return [one.text for one in found if one.level == "FAIL"]


def test_requirements_of_setup_and_of_metadata(monkeypatch: pytest.MonkeyPatch) -> None:
    found = requirements()
    assert [str(one) for one in found["python"]] == ["python<3.15,>=3.11"]
    assert {"torch", "numpy", "pandas"} <= {one.name for one in found[""]}
    assert "optuna" in {one.name for one in found["tune"]}
    # The metadata of a wheel have the same requirements.
    message = Message()
    message["Requires-Python"] = "<3.15,>=3.11"
    message["Provides-Extra"] = "tune"
    lines = ["numpy<3,>=1.24", 'optuna>=4; extra == "tune"']
    monkeypatch.setattr(importlib.metadata, "metadata", lambda name: message)
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: lines)
    monkeypatch.setattr(Path, "is_file", lambda path: False)
    found = requirements()
    assert [str(one) for one in found[""]] == ["numpy<3,>=1.24"]
    assert [str(one) for one in found["tune"]] == ["optuna>=4"]


def test_every_pinned_version_is_among_those_that_work() -> None:
    known = {one.name.lower(): one for one in requirements()[""]}
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    pins = [line for line in lines if "==" in line and line[0] != "#"]
    for name, _, version in (line.partition("==") for line in pins):
        assert known[name.lower()].specifier.contains(version), name


def test_wrong_and_missing_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    assert failures(check_required()) == []
    real = importlib.metadata.version

    def version(name: str) -> str:
        if name in ("recbole", "pandas", "matplotlib"):
            raise importlib.metadata.PackageNotFoundError(name)
        return "1.21.0" if name == "numpy" else real(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    found = check_required()
    assert failures(found) == [
        "recbole is not installed, 1.2.1 is needed",
        "numpy 1.21.0: numpy<3,>=1.24 is needed",
        "pandas is not installed, pandas<4,>=2 is needed",
    ]
    advice = {one.advice for one in found}
    assert {
        "type: pip install --no-deps recbole==1.2.1",
        "type: pip install 'numpy<3,>=1.24'",
    } <= advice
    # A missing extra is not a failure.
    notes = [one for one in check_extras() if one.level == "note"]
    assert "type: pip install 'matplotlib>=3.7'" in {one.advice for one in notes}


def test_it_runs_where_the_package_does_not(tmp_path: Path) -> None:
    """With numpy 1.21, `run` fails in one line, while `doctor` checks everything else, too."""
    fake = tmp_path / "numpy-1.21.0.dist-info"
    fake.mkdir()
    (fake / "METADATA").write_text("Metadata-Version: 2.1\nName: numpy\nVersion: 1.21.0\n")
    paths = os.pathsep.join([str(tmp_path), str(ROOT)])

    def call(*argv: str) -> subprocess.CompletedProcess[str]:
        return fresh(["-m", "recbole_painvrl", *argv], tmp_path, PYTHONPATH=paths)

    run = call("run", "--model=BPR", "--dataset=planted")
    assert run.returncode == 2
    assert run.stderr.startswith("error: numpy 1.21.0 does not work here; type: pip install")
    assert run.stderr.count("\n") == 1
    doctor = call("doctor")
    assert doctor.returncode == 1
    assert doctor.stderr == ""
    assert "FAIL  numpy 1.21.0: numpy<3,>=1.24 is needed" in doctor.stdout
    assert "FAIL  the plugin cannot be imported" in doctor.stdout
    assert "GiB of memory free" in doctor.stdout
    assert call("--help").returncode == 0
    assert call("tune", "--help").returncode == 0


def test_a_library_that_crashes_ends_only_the_probe() -> None:
    (found,) = check_imports("import os; os.kill(os.getpid(), 11)")
    assert found.text == "PyTorch cannot be imported: the process was ended by signal 11"
    said = 'print(\'{"PyTorch": "2 imports", "gpus": []}\', flush=True)\n'
    first, second = check_imports(said + "import no_such_recbole")
    assert first.level == "ok"
    assert second.text.startswith("RecBole cannot be imported: ModuleNotFoundError")


def test_imports_that_take_too_long_name_the_library_and_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(system, "_SECONDS", 3)
    said = 'print(\'{"PyTorch": "2 imports", "gpus": []}\', flush=True)\n'
    (found,) = check_imports(said + "import time; time.sleep(60)")
    assert found.level == "FAIL"
    assert found.text == "RecBole was not imported within 3 s"
    assert found.advice.endswith("run doctor again")


def test_a_check_that_raises_is_a_finding() -> None:
    def broken() -> list[Finding]:
        raise RuntimeError("planted")

    assert failures(isolated("memory", broken)) == [
        "memory could not be checked: RuntimeError: planted"
    ]


def test_datasets(tiny_data: Path, tmp_path: Path) -> None:
    assert failures(check_datasets(tiny_data)) == []
    assert any("modalities acoustic, visual" in one.text for one in check_datasets(tiny_data))
    root = tmp_path / "dataset"
    for name in ("empty", "headless", "rows", "features"):
        (root / name).mkdir(parents=True)
    (root / "headless" / "headless.inter").write_text("user\titem\n1\t2\n")
    (root / "rows" / "rows.inter").write_text("user_id:token\titem_id:token\n")
    sound = "user_id:token\titem_id:token\n1\t2\n"
    (root / "features" / "features.inter").write_text(sound)
    (root / "features" / "features").mkdir()
    (root / "features" / "features" / "visual.npy").write_bytes(b"\x93NUMPY")
    (root / "features" / "features" / "text.npy").write_bytes(b"PK")
    (root / "features" / "features" / "text.items.tsv").write_text("row\titem_id\n")
    (root / "features" / "features" / "audio.items.tsv").write_text("row\titem_id\n")
    texts = " | ".join(failures(check_datasets(root)))
    for part in (
        "empty: lacks empty.inter or empty.train.inter",
        "headless.inter: the first line lacks two", "holds no interaction",
        "visual.npy: lacks visual.items.tsv", "text.npy: not a .npy file",
        "audio.items.tsv: lists the items of a .npy file that is not there",
    ):  # fmt: skip
        assert part in texts


def test_datasets_that_run_are_no_failures(tmp_path: Path) -> None:
    """Splits as files alone, a byte order mark, and what settings rename or read otherwise."""
    for name, file, header, encoding in (
        ("split", "split.train.inter", "user_id:token\titem_id:token", "utf-8"),
        ("marked", "marked.inter", "\ufeffuser_id:token\titem_id:token", "utf-8"),
        ("renamed", "renamed.inter", "who:token\twhat:token\twhen:float", "utf-8"),
        ("commas", "commas.inter", "user_id:token,item_id:token", "utf-8"),
        ("parts", "parts.one.inter", "user_id:token\titem_id:token", "utf-8"),
        ("wide", "wide.inter", "user_id:token\titem_id:token", "utf-16"),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / file).write_text(header + "\n1\t2\t3\n", encoding=encoding)
    assert failures(check_datasets(tmp_path)) == []


def test_memory_of_a_control_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have no limit, or no statistics, which name files that the kernel would drop."""
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("900\n")
    assert cgroups._left(tmp_path / "memory.max", tmp_path / "memory.current") == 100
    (tmp_path / "memory.max").write_text("max\n")
    assert cgroups._left(tmp_path / "memory.max", tmp_path / "memory.current") is None
    monkeypatch.setattr(system, "cgroup_memory", lambda: [5, 7])
    assert system.free_memory() == 5


def test_interrupted_runs_and_locks(tmp_path: Path) -> None:
    for name in ("done", "stale", "working"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "config.yaml").touch()
    (tmp_path / "runs" / "done" / "result.json").touch()
    (tmp_path / "runs" / "stale" / ".lock").write_text("7\nhere\n")
    with file_lock(tmp_path / "runs" / "working" / ".lock"):
        stale, working = check_runs(tmp_path / "runs")
    assert stale.text.endswith("stale: was interrupted")
    assert stale.advice.endswith(f"--resume={tmp_path / 'runs' / 'stale'}")
    assert f"process {os.getpid()} on" in working.text
    assert (tmp_path / "runs" / "stale" / ".lock").is_file()


def test_disk_and_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert failures(system.check_disk(tmp_path / "not" / "yet")) == []
    assert not (tmp_path / "not").exists()
    (tmp_path / "file").touch()
    assert len(failures(system.check_disk(tmp_path / "file"))) == 1
    assert 0 <= system.free_memory() < 2**50
    monkeypatch.setattr(system, "free_memory", lambda: 2**28)
    assert "0.2 GiB of memory free" in failures(system.check_memory())[0]


def test_exit_codes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(command, "check_imports", lambda: [Finding("ok", "imports")])
    assert main(["doctor"]) == 0
    assert capsys.readouterr().out.endswith("nothing would fail\n")
    (tmp_path / "dataset" / "broken").mkdir(parents=True)
    assert main(["doctor"]) == 1
    assert "FAIL" in capsys.readouterr().out
