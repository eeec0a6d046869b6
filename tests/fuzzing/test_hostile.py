"""Malicious files and command lines."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from support import PAGES, edited, planted_data, run_main

from dataset_prep.__main__ import main as prepare
from dataset_prep.check import inside
from dataset_prep.read.matrices import npy_array, open_archive
from recbole_painvrl.config.loading import read_yaml
from recbole_painvrl.data.features import load_modality
from recbole_painvrl.errors import UserError
from recbole_painvrl.reading import parse_json

CODE = "__import__('os').system('touch HARM')"


@pytest.mark.parametrize(
    "word",
    [
        f"--epochs={CODE}",
        f"--topk=[{CODE}]",
        f"--eval_args={{'split': {CODE}}}",
        f"--train_neg_sample_args={{distribution: {CODE}}}",
        f"--metrics={CODE}",
        f"--valid_metric={CODE}",
        f"--modalities={CODE}",
        f"--user_inter_num_interval={CODE}",
        f"--val_interval={{'rating': \"{CODE}\"}}",
        f"--load_col={{inter: [{CODE}]}}",
        f"--foo={CODE}",
        f"--{CODE}=1",
        "--topk=!!python/object/apply:os.system ['touch HARM']",
        "--gpu_id=0; touch HARM",
        f"--field_separator={CODE}",
        f"--config_files={CODE}",
        f"--resume={CODE}",
    ],
)
def test_nothing_on_the_command_line_is_run(word: str, tiny_data: Path, tmp_path: Path) -> None:
    """RecBole's own ``Config`` passes these words to ``eval``."""
    run = run_main(tiny_data, tmp_path, "Pop", "--protocol=random", word, name="x")
    assert not Path("HARM").exists()
    assert not list(tmp_path.rglob("HARM"))
    # Text settings may accept any text; all others must be refused.
    assert run.code in (0, 2), run.err
    assert "Traceback" not in run.err


def test_the_code_would_run() -> None:
    """The code above writes its file if it is evaluated, so the test can fail."""
    eval(CODE)  # noqa: S307
    assert Path("HARM").exists()


def bomb(path: Path, megabytes: int) -> None:
    """An .npz of zeros, a thousand times smaller than its content."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        stream, {"descr": "<f4", "fortran_order": False, "shape": (megabytes << 18,)}
    )
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("a.npy", "w") as member,
    ):
        member.write(stream.getvalue())
        for _ in range(megabytes):
            member.write(bytes(1 << 20))


def test_a_zip_bomb_is_refused_and_zeros_are_not(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    bomb(path, 200)
    with pytest.raises(UserError, match=r"a\.npz: .* claim to hold 2097"):
        open_archive(path)
    bomb(path, 20)
    assert open_archive(path)["a"].nbytes == 20 << 20
    np.savez_compressed(path, many=np.zeros(3_000_000), text=np.array(["a", "bc"]))
    assert sorted(open_archive(path)) == ["many", "text"]


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.array([{}, []], dtype=object), "[Oo]bject"),
        (np.zeros(3, dtype=[("a", "f4")]), "not numbers"),
        (np.array(["2020-01-01"], dtype="M8[D]"), "not numbers"),
    ],
)
def test_odd_arrays_are_refused(array: np.ndarray, reason: str) -> None:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    with pytest.raises(ValueError, match=reason):
        npy_array(stream.getvalue())


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n",
        "a: !!python/object/apply:os.system ['touch HARM']\n",
        "a: !!python/name:os.system\n",
        "[" * 3_000,
        "a: !!timestamp x\n",
        "a: !!bool x\n",
    ],
)
def test_hostile_yaml(text: str, tmp_path: Path) -> None:
    path = tmp_path / "given.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=r"given\.yaml: not valid YAML"):
        read_yaml(path)
    assert not Path("HARM").exists()


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "NaN", "9" * 5000, "{"])
def test_hostile_json(text: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        parse_json(text)


@pytest.mark.parametrize(
    "name", ["../secret", "/etc/passwd", "a/../../secret", "", "a\0b", "..", "link/secret", 3, None]
)
def test_names_cannot_leave_their_folder(name: object, tmp_path: Path) -> None:
    folder, other = tmp_path / "inner", tmp_path / "other"
    folder.mkdir()
    other.mkdir()
    (tmp_path / "secret").write_text("x")
    (other / "secret").write_text("x")
    (folder / "link").symlink_to(other)
    assert inside(folder, name) is None
    (folder / "real").mkdir()
    assert inside(folder, "real/file.npy") == folder / "real" / "file.npy"
    (folder / "near").symlink_to(folder / "real")
    assert inside(folder, "near/file.npy") is not None


def test_a_manifest_that_points_outside_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    planted_data(PAGES, tmp_path)
    assert prepare(["check", str(tmp_path / "tiny")]) == 0
    with edited(tmp_path / "tiny" / "manifest.json") as manifest:
        manifest["sha256"]["../../outside"] = "0"
    capsys.readouterr()
    assert prepare(["check", str(tmp_path / "tiny")]) == 2
    assert "lists '../../outside', which is outside the folder" in capsys.readouterr().out


def test_a_fifo_is_not_a_file(tmp_path: Path) -> None:
    """Reading it would wait forever."""
    (tmp_path / "features").mkdir()
    os.mkfifo(tmp_path / "features" / "v.npy")
    with pytest.raises(UserError, match=r"v\.npy: no such file"):
        load_modality(tmp_path, "v")
