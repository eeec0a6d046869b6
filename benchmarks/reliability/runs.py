"""Small runs in forked processes, and the results that must not depend on interruptions."""

from __future__ import annotations

import contextlib
import importlib
import json
import multiprocessing
import os
import stat
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import Any

_FORK = multiprocessing.get_context("fork")
# A run of one or two seconds: every stage, two outer rounds, several epochs of each.
_STAGES = (
    "--backbone_epochs=3",
    "--environment_rounds=3",
    "--environment_restarts=2",
    "--mask_epochs=3",
    "--mask_batch_size=128",
    "--outer_rounds=2",
)
# Case -> settings of its run.
CASES: Mapping[str, tuple[str, ...]] = {
    "PaInvRL": ("--model=PaInvRL", *_STAGES),
    "InvRL": ("--model=InvRL", *_STAGES),
    "MMSSL": ("--model=MMSSL", "--train_batch_size=300"),
    **{
        model: (f"--model={model}",)
        for model in (
            *("UltraGCN", "VBPR", "MMGCN"),
            *("BPR", "MultiVAE", "RecVAE", "DiffRec", "LightGCN"),
        )
    },
    # The split is computed, and cached, inside the run.
    "UltraGCN, iid_ood": ("--model=UltraGCN", "--protocol=iid_ood", "--split_epochs=2"),
}
DATASET = "small"
# Where a process can be stopped inside a save.
POINTS = ("half written", "not synced", "not in place", "just in place")
_IMPORTS = (
    "recbole_painvrl.cli.run",
    "recbole_painvrl.run.runner",
    "recbole_painvrl.run.resume",
    "recbole_painvrl.run.summary",
    "recbole_painvrl.models.painvrl.trainer",
    "recbole_painvrl.models.mmssl.trainer",
    "torch.utils.tensorboard",
    "pyarrow.parquet",
    "scipy.optimize",
    "sklearn.metrics",
)


def warm_up() -> None:
    """Import everything that a run needs, so that forked processes start at once.

    A fork copies only the calling thread, so this process may import PyTorch, but must not
    compute with it, which would start more threads.
    """
    # NumPy and PyTorch read these when they are imported.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    import torch

    torch.set_num_threads(1)
    for name in _IMPORTS:
        importlib.import_module(name)
    # The first optimizer makes PyTorch import hundreds of modules.
    torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))])


def make_data(root: Path) -> None:
    """Write a planted dataset with an OOD test, ``root/small``."""
    from recbole_painvrl.data.folder import write_dataset
    from recbole_painvrl.data.planted import PlantedDesign, generate_planted

    design = PlantedDesign(
        n_users=120,
        n_items=90,
        min_interactions=15,
        max_interactions=20,
        modalities={"visual": 16, "acoustic": 8},
    )
    write_dataset(generate_planted(design, DATASET), root / DATASET)


def arguments(case: str, data: Path, folder: Path, *extra: str) -> list[str]:
    """Command line of the run of a case into a run folder."""
    return [
        f"--dataset={DATASET}",
        f"--data_path={data}",
        f"--output_dir={folder.parent}",
        f"--run_name={folder.name}",
        "--epochs=4",
        "--show_progress=False",
        "--use_gpu=False",
        *CASES[case],
        *extra,
    ]


def start(argv: Sequence[str], log: Path, *hooks: Callable[[], None]) -> ForkProcess:
    """Start run_recbole.py in a forked process, whose output is appended to ``log``.

    The hooks are called in the process before the run.
    """
    process = _FORK.Process(target=_main, args=(argv, log, hooks))
    process.start()
    return process


def _main(argv: Sequence[str], log: Path, hooks: Sequence[Callable[[], None]]) -> None:
    handle = os.open(log, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o644)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    sys.argv = ["run_recbole.py", *argv]
    for hook in hooks:
        hook()
    from recbole_painvrl.cli.run import main

    sys.exit(main(argv))


def run(argv: Sequence[str], log: Path) -> int | None:
    """Exit code of the command line in a forked process."""
    process = start(argv, log)
    process.join()
    return process.exitcode


def save_often(fraction: float = 1e9) -> None:
    """Set the fraction of the time that saving may take; if it is large, every epoch is saved."""
    from recbole_painvrl.training import pipeline

    pipeline._SAVING_FRACTION = fraction


class SaveHook:
    """Counts the saves of a process, or stops it inside one of them, where it can be killed.

    ``index`` is the save to stop in, from 1, or 0 for none, ``point`` one of ``POINTS``. ``saves``
    counts the saves that began, ``stopped`` is set when the process has stopped.
    """

    def __init__(self, index: int = 0, point: str = "") -> None:
        self.index, self.point = index, point
        self.saves, self.stopped = _FORK.Value("i", 0), _FORK.Event()

    def __call__(self) -> None:
        """Replace ``os.fsync`` and ``os.replace`` in this process."""
        fsync, replace = os.fsync, os.replace

        def synced(handle: int) -> None:
            # A save syncs its file, renames it, then syncs its folder.
            if not stat.S_ISDIR(os.fstat(handle).st_mode):
                self.saves.value += 1
                if self.point == "half written" and self.saves.value == self.index:
                    os.ftruncate(handle, os.fstat(handle).st_size // 2)
                self._stop_at("half written", "not synced")
            fsync(handle)

        def replaced(source: Path, target: Path) -> None:
            self._stop_at("not in place")
            replace(source, target)
            self._stop_at("just in place")

        vars(os).update(fsync=synced, replace=replaced)

    def _stop_at(self, *points: str) -> None:
        if self.saves.value == self.index and self.point in points:
            self.stopped.set()
            while True:
                time.sleep(60)


def outcome(folder: Path) -> dict[str, Any]:
    """Everything in a run folder that must not depend on interruptions."""
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    found = {name: result.get(name) for name in ("metrics", "split", "planted", "hashes", "seeds")}
    found["stages"] = [
        {key: value for key, value in stage.items() if key not in ("seconds", "peak_memory_mb")}
        for stage in result["stages"]
    ]
    files = [*(folder / "checkpoint").iterdir(), *folder.glob("*.npz"), *folder.glob("*.parquet")]
    # The rolling checkpoint holds seconds.
    return found | {path.name: path.read_bytes() for path in files if path.name[:5] != "last."}


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Names of the entries in which two outcomes differ."""
    return sorted(name for name in {*one, *other} if one.get(name) != other.get(name))


def read_saved(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Tensors and state of a checkpoint; ValueError if it is incomplete or damaged."""
    import torch

    from recbole_painvrl.training.checkpoint import read_checkpoint

    return read_checkpoint(path, torch.device("cpu"))


def unreadable(folder: Path) -> list[str]:
    """Files of a run folder that are missing or cannot be read, with the reason."""
    import pandas as pd
    import yaml

    from recbole_painvrl.reading import read_arrays

    readers: dict[str, Callable[[Path], Any]] = {
        ".safetensors": read_saved,
        ".json": lambda path: json.loads(path.read_text(encoding="utf-8")),
        ".yaml": lambda path: yaml.safe_load(path.read_text(encoding="utf-8"))["model"],
        ".npz": lambda path: read_arrays(path, "run again"),
        ".parquet": pd.read_parquet,
    }
    bad = []
    for path in sorted(folder.rglob("*")):
        if path.suffix in readers and not path.name.startswith("."):
            try:
                readers[path.suffix](path)
            except Exception as error:  # noqa: BLE001  (any exception means a damaged file)
                bad.append(f"{path.name}: {error}")
    manifest = folder / "checkpoint" / "last.json"
    if manifest.is_file() and not bad:
        names = json.loads(manifest.read_text(encoding="utf-8"))["shards"]
        bad += [f"{name}: missing" for name in names if not manifest.with_name(name).is_file()]
    return bad


def stage_reached(folder: Path, stages: Sequence[str]) -> str:
    """Which of the stages, in order, a run was stopped in, by its rolling checkpoint."""
    with contextlib.suppress(ValueError):
        # One file of every process, and perhaps those of the save before.
        for path in (folder / "checkpoint").glob("last.*safetensors"):
            done = read_saved(path)[1]["done"]
            return next((stage for stage in stages if stage not in done), "after the last stage")
    return "before the first checkpoint"
