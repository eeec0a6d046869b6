"""What runs of ten models give on a small planted dataset, as a file to compare with later.

``PYTHONPATH=. python tests/frozen/frozen.py`` writes ``frozen.json``. An intended change is written
again and named in CHANGELOG.md.
"""

from __future__ import annotations

import contextlib
import io
import json
import platform
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from recbole_painvrl.cli import COMMANDS
from recbole_painvrl.cli.run import main
from recbole_painvrl.config import config_from_arguments
from recbole_painvrl.data.folder import write_dataset
from recbole_painvrl.data.planted import PlantedDesign, generate_planted

PATH = Path(__file__).with_name("frozen.json")
DESIGN = PlantedDesign(
    n_users=120,
    n_items=90,
    min_interactions=15,
    max_interactions=20,
    modalities={"visual": 16, "acoustic": 8},
)
STAGES = [
    "--backbone_epochs=2", "--environment_rounds=3", "--environment_restarts=2", "--mask_epochs=2",
]  # fmt: skip
MODELS = {
    "PaInvRL": STAGES, "InvRL": STAGES, "UltraGCN": [], "VBPR": [], "MMGCN": [], "MMSSL": [],
    "BPR": [], "LightGCN": [], "MultiVAE": [], "ItemKNN": [],
}  # fmt: skip
RUNS = {
    f"{model} {protocol} {seed}": (model, [f"--protocol={protocol}", f"--seed={seed}", *settings])
    for model, settings in MODELS.items()
    for protocol, seed in (("files", 1), ("iid_ood", 2))
}


def write_data(folder: Path) -> None:
    """The dataset of all runs."""
    write_dataset(generate_planted(DESIGN, "tiny"), folder / "tiny")


def machine() -> str:
    """What the last bits of a weight depend on.

    Several generations of a processor, with other vector instructions, may have the same name.
    """
    facts = {}
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(":")
            facts[key.strip()] = value.strip()
    names = ("model name", "cpu family", "model")
    processor = " ".join(facts[name] for name in names if name in facts)
    vectors = torch.backends.cpu.get_cpu_capability()
    libraries = f"torch {torch.__version__}, numpy {np.__version__}"
    return f"{processor} {platform.machine()} {vectors}, {libraries}"


def run(name: str, data: Path, output: Path) -> dict[str, Any]:
    """Metrics, weights, keys and files of one run."""
    model, settings = RUNS[name]
    words = [
        f"--model={model}", "--dataset=tiny", f"--data_path={data}", f"--output_dir={output}",
        "--run_name=run", "--epochs=2", "--show_progress=False", "--use_gpu=False", *settings,
    ]  # fmt: skip
    folder = output / "run"
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()) as log,
    ):
        code = main(words)
    if code:
        raise AssertionError(f"{name}: {log.getvalue()}")
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    return {
        "metrics": result["metrics"],
        "weights": result["hashes"]["weights"],
        "norms": _norms(folder),
        "split": result["split"],
        "keys": sorted(_keys(result)),
        "files": sorted(_files(folder)),
    }


def _norms(folder: Path) -> dict[str, float]:
    """L2 norm of every tensor of the final model."""
    path = folder / "checkpoint" / "best.safetensors"
    return {name: value.double().norm().item() for name, value in sorted(load_file(path).items())}


def _keys(value: Any, above: str = "") -> set[str]:
    """Paths of all keys; what has one entry per epoch or item is told by its first entry."""
    if isinstance(value, dict):
        inner = (_keys(one, f"{above}.{name}" if above else name) for name, one in value.items())
        return {above}.union(*inner) - {""}
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return {above} | _keys(value[0], f"{above}[]")
    return {above}


def _files(folder: Path) -> list[str]:
    names = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    # TensorBoard puts the host's name and the time into its own.
    return [name for name in names if not name.startswith("tensorboard/")]


def settings() -> dict[str, dict[str, str]]:
    """Every setting of ``BPR`` with its default, and for the others what differs from it."""
    found = {model: _settings(model) for model in MODELS}
    common = found["BPR"]
    return {
        model: {name: value for name, value in values.items() if common.get(name) != value}
        for model, values in found.items()
    } | {"BPR": common}


def _settings(model: str) -> dict[str, str]:
    values = config_from_arguments([f"--model={model}", "--dataset=planted"]).final_config_dict
    # Of this machine and moment, or of RecBole's own code.
    left_out = {"MODEL_INPUT_TYPE", "MODEL_TYPE", "data_path", "device", "eval_type", "model"}
    return {name: str(values[name]) for name in sorted(values) if name not in left_out}


def everything(data: Path, output: Path) -> dict[str, Any]:
    """All of it."""
    return {
        "machine": machine(),
        "commands": list(COMMANDS),
        "settings": settings(),
        "runs": {name: run(name, data, output / name) for name in RUNS},
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as work:
        write_data(Path(work) / "data")
        found = everything(Path(work) / "data", Path(work))
    PATH.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
