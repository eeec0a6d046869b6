"""The model of docs/your-own-model.md, in a package of its own, works with every command."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from forks import SUBPROCESS, forked
from support import PAGES, empty_figures, planted_data, replaced, run_main

from recbole_painvrl import specs
from recbole_painvrl.errors import UserError
from recbole_painvrl.experiments import launch
from recbole_painvrl.specs import register_reference

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "your-own-model.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
NAMES = re.findall(r"`([\w/]+\.(?:py|yaml|toml))`[^`]*(?=\n\n```(?:python|yaml|toml))", PAGE)


# Commands in forks of one process of the new environment: its imports take seconds.
COMMANDS = """
import json, sys
from pathlib import Path
sys.path.append({tests!r})
from forks import SUBPROCESS, forked
from recbole_painvrl.experiments import launch
assert Path(launch.__file__).is_relative_to({home!r}), launch.__file__
launch.subprocess = SUBPROCESS
outputs = []
for words in json.loads(sys.argv[1]):
    done = forked([sys.executable, *words], Path.cwd())
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    outputs.append(done.stdout)
print(json.dumps(outputs))
"""


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files of the page, and a small dataset of the name in its commands."""
    root = tmp_path_factory.mktemp("site")
    files = [text for kind, text in BLOCKS if kind != "bash"]
    for name, text in zip(NAMES, files, strict=True):
        write(root / name, text)
    write(root / "my_models/properties/preset/ContentMF/wide.yaml", "embedding_size: 48\n")
    planted_data(PAGES, root / "dataset", "planted")
    return root


@pytest.fixture(scope="module")
def installed(package: Path) -> Path:
    """The metadata that pip would have written for it."""
    project = tomllib.loads((package / "pyproject.toml").read_text())["project"]
    name, version = project["name"], project["version"]
    info = package / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    ((group, points),) = project["entry-points"].items()
    lines = [f"{model} = {value}" for model, value in points.items()]
    (info / "entry_points.txt").write_text("\n".join([f"[{group}]", *lines, ""]))
    return package


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The runs of a grid are forks of the grid's process, and figures of a report are empty."""
    monkeypatch.setattr(launch, "subprocess", SUBPROCESS)
    with empty_figures():
        yield


def python(site: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return forked([sys.executable, *words], folder, PYTHONPATH=str(site))


def call(site: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return python(site, folder, "-m", "recbole_painvrl", *words)


def test_the_page_in_a_fresh_environment(tmp_path: Path) -> None:
    """From top to bottom in a virtual environment of its own, with both packages installed."""
    pytest.importorskip("pip", reason="`uv venv` installs no pip")
    home, page = tmp_path / "environment", tmp_path / "page"
    venv.create(home, symlinks=True)
    inside = home / "bin" / "python"
    (packages,) = home.glob("lib/python*/site-packages")
    # The dependencies, which are not installed again.
    (packages / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    source = tmp_path / "source"
    for name in ("recbole_painvrl", "dataset_prep", "properties"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.py", "pyproject.toml", "run_recbole.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    planted_data(PAGES, page / "dataset", "planted")

    def done(*words: str) -> str:
        run = subprocess.run(
            words, capture_output=True, text=True, cwd=page, env=os.environ | {"PYTHONPATH": ""}
        )
        assert run.returncode == 0, run.stdout + run.stderr
        return run.stdout

    pip = (sys.executable, "-m", "pip", "--python", str(inside), "install", "--quiet")
    pip += ("--no-deps", "--no-build-isolation")
    done(*pip, str(source))
    fewer = {"benchmark": ["--epochs=1", "--seeds=1"], "tune": ["--epochs=1", "--trials=1"]}
    names, outputs = iter(NAMES), {}
    program = COMMANDS.format(tests=str(ROOT / "tests"), home=str(home))
    for kind, text in BLOCKS:
        if kind != "bash":
            write(page / next(names), text)
            if kind == "toml":
                done(*pip, "-e", ".")
            continue
        lines = [shlex.split(line)[1:] for line in text.splitlines()]
        if lines[0][1] == "pytest":
            outputs["pytest"] = done(str(inside), *lines[0])
            continue
        words = [replaced(line, fewer.get(line[2], [])) for line in lines]
        printed = json.loads(done(str(inside), "-c", program, json.dumps(words)).splitlines()[-1])
        outputs |= dict(zip((line[2] for line in lines), printed, strict=True))
    result = json.loads((page / "runs/first/result.json").read_text())
    assert result["model"] == "ContentMF"
    assert any("my_models.content_mf:ContentMF" in word for word in result["command"])
    assert len((page / "lists.csv").read_text().splitlines()) == 1 + 40 * 5
    assert "reg_weight" in outputs["settings"] and "| ContentMF |" in outputs["benchmark"]
    assert (page / "runs/search/best.yaml").is_file()
    assert int(re.findall(r"(\d+) passed", outputs["pytest"])[0]) >= 6


def test_a_grid_of_models_of_a_module(package: Path, tmp_path: Path, tiny_data: Path) -> None:
    """Benchmark and report give it one name, and judge it as the grid's method."""
    reference = "my_models.content_mf:ContentMF"
    common = ["--dataset=tiny", f"--data_path={tiny_data}", "--epochs=1", "--seeds=1"]
    words = [f"--models={reference},BPR", f"--method={reference}", "--output=grid", *common]
    done = call(package, tmp_path, "benchmark", *words)
    assert done.returncode == 0 and "| ContentMF |" in done.stdout, done.stderr
    done = call(package, tmp_path, "report", "grid", "--output=grid.html")
    assert done.returncode == 0, done.stderr
    assert "ContentMF" in (tmp_path / "grid.html").read_text(encoding="utf-8")


def test_a_script_finds_a_module_of_the_current_directory(package: Path, tiny_data: Path) -> None:
    """As `python -m recbole_painvrl` does."""
    words = ["--model=my_models.content_mf:ContentMF", "--dataset=tiny", "--embedding_size=0"]
    words = [str(ROOT / "run_recbole.py"), *words, f"--data_path={tiny_data}"]
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, *words], cwd=package, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 2 and "`embedding_size`: found 0" in done.stderr, done.stderr


def test_what_is_wrong_is_one_line(package: Path, tmp_path: Path, tiny_data: Path) -> None:
    common = ["run", "--dataset=tiny", f"--data_path={tiny_data}"]
    reference = "--model=my_models.content_mf:ContentMF"
    for words, message in (
        ([reference, "--embedding_size=0"], "`embedding_size`: found 0"),
        ([reference, "--reg_wieght=4"], "did you mean `reg_weight`?"),
        ([reference, "--modalities=[]"], "at least one"),
        (["--model=my_models.content_mf:Other"], "cannot be imported"),
        (["--model=my_models.nothing:ContentMF"], "cannot be imported"),
        (["--model=.content_mf:ContentMF"], "expected `package.module:Class`"),
        (["--model=my_models.content_mf:__doc__"], "has no ModelSpec"),
        (["--model=pathlib:Path"], "has no ModelSpec"),
    ):
        done = call(package, tmp_path, *common, *words)
        assert done.returncode == 2 and message in done.stderr, done.stderr
        assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("old", "new", "code", "message"),
    [
        ("(PairwiseRecommender)", "(PairwiseRecomender)", 2, "NameError: name"),
        ("(Settings):", "(Settings:", 2, "SyntaxError: "),
        ("from torch import nn", "from torch import nnn", 2, "ImportError: cannot import name"),
        ("self.n_items", "self.number", 1, "AttributeError: 'ContentMF' object has no attribute"),
    ],
)
def test_a_mistake_in_its_code_names_the_line(
    package: Path, tmp_path: Path, tiny_data: Path, old: str, new: str, code: int, message: str
) -> None:
    """Before there is a run folder, no log has the traceback."""
    site = Path(shutil.copytree(package, tmp_path / "site"))
    path = site / "my_models" / "content_mf.py"
    lines = path.read_text().splitlines()
    number = next(n for n, line in enumerate(lines, 1) if old in line)
    lines[number - 1] = lines[number - 1].replace(old, new)
    write(path, "\n".join(lines) + "\n")
    words = ["run", "--model=my_models.content_mf:ContentMF", "--dataset=tiny"]
    done = call(site, tmp_path, *words, f"--data_path={tiny_data}")
    assert done.returncode == code and message in done.stderr, done.stderr
    assert f"{path}, line {number}" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("first = nothing\n", "NameError: name 'nothing' is not defined); correct {path}, line 1"),
        (
            "from recbole_painvrl.errors import UserError\nraise UserError('its own line')\n",
            "its own line",
        ),
    ],
)
def test_a_mistake_in_an_installed_package_names_the_line(
    code: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mistaken_model.py"
    path.write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    paths = {"stdlib": sysconfig.get_path("stdlib"), "purelib": str(tmp_path)}
    monkeypatch.setattr(sysconfig, "get_path", lambda name: paths.get(name, str(tmp_path)))
    with pytest.raises(UserError) as caught:
        register_reference("mistaken_model:Model")
    assert str(caught.value).endswith(message.format(path=path))


def test_a_mistake_in_the_constructor_of_an_installed_model_names_the_line(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file of this package that called it was named."""
    path = tmp_path / "mistaken.py"
    path.write_text(
        "import torch\n"
        "from pathlib import Path\n"
        "from recbole_painvrl.models.vbpr import VBPR, VBPRSettings\n"
        "from recbole_painvrl.specs import ModelSpec\n"
        "class Mistaken(VBPR):\n"
        "    def __init__(self, *given):\n"
        "        torch.nn.Linear('a', 2)\n"
        "SPEC = ModelSpec('Mistaken', Mistaken, VBPRSettings, properties=Path(__file__).parent)\n"
    )
    (tmp_path / "model").mkdir()
    shutil.copy(ROOT / "properties/model/VBPR.yaml", tmp_path / "model/Mistaken.yaml")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(specs, "_registered", {})
    paths = {"stdlib": sysconfig.get_path("stdlib"), "platlib": sysconfig.get_path("platlib")}
    monkeypatch.setattr(sysconfig, "get_path", lambda name: paths.get(name, str(tmp_path)))
    done = run_main(tiny_data, tmp_path / "work", "mistaken:Mistaken", name="r")
    assert done.code == 1 and "TypeError" in done.err
    assert done.err.strip().endswith(f"({path}, line 7)")


def test_presets_reports_exports_and_names(
    installed: Path, tmp_path: Path, tiny_data: Path
) -> None:
    """Presets, exports, reports, and a misspelt name."""
    common = ["--dataset=tiny", f"--data_path={tiny_data}", "--show_progress=False", "--epochs=1"]
    words = ["run", "--model=ContentMF", "--preset=wide", "--run_name=r", *common]
    done = call(installed, tmp_path, *words)
    assert done.returncode == 0, done.stderr
    config = yaml.safe_load((tmp_path / "runs/r/config.yaml").read_text())
    found = config["embedding_size"]
    assert (found["value"], found["from"]) == (48, "preset wide")
    for command in (
        "export runs/r --what embeddings --out vectors.safetensors",
        "report runs/r --output page.html",
    ):
        done = call(installed, tmp_path, *command.split())
        assert done.returncode == 0, done.stderr
    done = call(installed, tmp_path, "settings", "ContentMF")
    assert "reg_weight" in done.stdout and "wide" in done.stdout
    done = call(installed, tmp_path, "run", "--model=ContentFM", *common)
    assert "did you mean `ContentMF`?" in done.stderr


def test_its_property_file_is_checked_like_ours(package: Path, tmp_path: Path) -> None:
    site = Path(shutil.copytree(package, tmp_path / "site"))
    file = site / "my_models" / "properties" / "model" / "ContentMF.yaml"
    words = ["run", "--model=my_models.content_mf:ContentMF", "--dataset=planted"]
    file.write_text(file.read_text() + "reg_wieght: 8\n")
    done = call(site, tmp_path, *words)
    assert done.returncode == 2 and "did you mean `reg_weight`?" in done.stderr, done.stderr
    file.unlink()
    done = call(site, tmp_path, *words)
    assert done.returncode == 2 and f"{file}: no such file" in done.stderr, done.stderr
    other = ["run", "--model=BPR", "--model_from=my_models.content_mf:ContentMF"]
    done = call(site, tmp_path, *other, "--dataset=planted")
    assert done.returncode == 2 and "`model_from`: found" in done.stderr, done.stderr
