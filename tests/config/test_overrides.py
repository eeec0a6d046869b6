"""Command lines and YAML files become plain values and nothing else."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from recbole_painvrl.config import loading
from recbole_painvrl.config.loading import parse_overrides, read_yaml
from recbole_painvrl.errors import UserError


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("--topk=[10,20]", [10, 20]),
        ("--modalities=[]", []),
        ("--modalities=[text, visual]", ["text", "visual"]),
        ("--x=1e-3", 1e-3),
        ("--x=2e5", 2e5),
        ("--x=0.5", 0.5),
        ("--x=-5", -5),
        ("--use_gpu=False", False),
        ("--protocol=~", None),
        ("--protocol=None", None),
        ("--gpu_id=", ""),
        ("--gpu_id=0", "0"),
        ("--run_name=2024", "2024"),
        ("--run_name=1e3", "1e3"),
        ("--dataset=100", "100"),
        ("--x=2024-01-01", "2024-01-01"),
        ("--user_inter_num_interval=[5,inf)", "[5,inf)"),
        ("--eval_args={'split':{'RS':[0.8,0.1,0.1]}}", {"split": {"RS": [0.8, 0.1, 0.1]}}),
        ("--x=a=b", "a=b"),
    ],
)
def test_values_are_typed(argument: str, expected: Any) -> None:
    (value,) = parse_overrides([argument]).values()
    assert value == expected
    assert type(value) is type(expected)


def test_value_may_be_the_next_word() -> None:
    assert parse_overrides(["--epochs", "3", "--x=-1", "--y", "-2"]) == {
        "epochs": 3,
        "x": -1,
        "y": -2,
    }


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["epochs=3"], "found 'epochs=3', expected `--setting=value`"),
        (["-e", "3"], "found '-e'"),
        (["--"], "found '--'"),
        (["--=3"], "found '--=3'"),
        (["--epochs"], "`--epochs` has no value"),
        (["--epochs", "--seed=1"], "`--epochs` has no value"),
        (["--seed=1", "--seed=2"], "`--seed` occurs twice"),
        (["--x={a: 1, a: 2}"], "`a` occurs twice"),
    ],
)
def test_malformed_arguments(argv: list[str], message: str) -> None:
    with pytest.raises(UserError, match=r"^[^\n]*$") as caught:
        parse_overrides(argv)
    assert message in str(caught.value)


def test_python_in_a_value_stays_text(tmp_path: Path) -> None:
    target = tmp_path / "made"
    text = f"__import__('os').system('touch {target}')"
    assert parse_overrides([f"--x={text}"]) == {"x": text}
    assert not target.exists()


@pytest.mark.parametrize(
    "tag", ["!!python/object/apply:os.system", "!!python/name:os.system", "!other"]
)
def test_tags_are_refused(tag: str, tmp_path: Path) -> None:
    target = tmp_path / "made"
    with pytest.raises(UserError, match="could not determine a constructor"):
        parse_overrides([f"--x={tag} ['touch {target}']"])
    file = tmp_path / "file.yaml"
    file.write_text(f"x: {tag} ['touch {target}']\n")
    with pytest.raises(UserError, match="line 1: could not determine a constructor"):
        read_yaml(file)
    assert not target.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: [1,\nb: 2", "not valid YAML at line"),
        ("a: 1\na: 2\n", "not valid YAML at line 2: `a` occurs twice"),
        ("a: &x [1]\nb: *x\n", "at line 2: references such as `*x` are not read"),
        ("[" * 200_000, "not valid YAML"),
        ("- " * 200_000 + "a", "not valid YAML"),
        ("- a\n", "holds list, expected lines `setting: value`"),
        ("1: a\n", "found the key 1"),
    ],
)
def test_wrong_files(content: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "file.yaml"
    file.write_text(content)
    with pytest.raises(UserError, match=r"^[^\n]*$") as caught:
        read_yaml(file)
    assert str(caught.value).startswith(f"{file}: ")
    assert message in str(caught.value)


def test_same_reading_without_libyaml(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(yaml, "__with_libyaml__", False)
    spec = importlib.util.spec_from_file_location("without_libyaml", loading.__file__)
    assert spec is not None
    assert spec.loader is not None
    without: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(without)
    assert not issubclass(without.PlainLoader, yaml.cyaml.CParser)
    shipped = sorted((Path(__file__).parents[2] / "properties").rglob("*.yaml"))
    assert len(shipped) > 50
    for path in shipped:
        assert without.read_yaml(path) == read_yaml(path), path
    file = tmp_path / "file.yaml"
    for content in ("a: &x [1]\nb: *x\n", "a: 1\na: 2\n"):
        file.write_text(content)
        messages = []
        for read in (without.read_yaml, read_yaml):
            with pytest.raises(UserError) as caught:
                read(file)
            messages.append(str(caught.value))
        assert messages[0] == messages[1]


def test_missing_binary_and_empty_files(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such configuration file"):
        read_yaml(tmp_path / "none.yaml")
    with pytest.raises(UserError, match="not readable as text"):
        read_yaml(tmp_path)
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="not readable as text"):
        read_yaml(binary)
    (tmp_path / "empty.yaml").write_text("# nothing\n")
    assert read_yaml(tmp_path / "empty.yaml") == {}


def test_yaml_loaders_of_others_stay_as_they_are() -> None:
    assert yaml.safe_load("a: 2024-01-01\nb: 1e-3")["b"] == "1e-3"
    assert yaml.safe_load("a: 2024-01-01")["a"] != "2024-01-01"


@given(st.lists(st.text(max_size=12), max_size=4))
def test_any_command_line_gives_values_or_one_line(argv: list[str]) -> None:
    try:
        values = parse_overrides(argv)
    except UserError as error:
        assert "\n" not in str(error)
    else:
        assert all(isinstance(name, str) for name in values)


@given(st.text(max_size=30))
def test_any_value_gives_a_value_or_one_line(text: str) -> None:
    try:
        parse_overrides([f"--x={text}"])
    except UserError as error:
        assert "\n" not in str(error)
