"""Small runs in forked children, and what of a run must not depend on how it came about."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import stat
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

# A run of a second or two: every stage, two outer rounds, several epochs of each.
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
    # The split is made, and cached, inside the run.
    "UltraGCN, iid_ood": ("--model=UltraGCN", "--protocol=iid_ood", "--split_epochs=2"),
}
DATASET = "small"
# Where a run can be stopped inside a save.
POINTS = ("half written", "not synced", "not in place", "just in place")
# The allocator of Arrow, which prepares itself for forks.
_FORK_SAFE = frozenset({"jemalloc_bg_thd"})
_NEEDED = (
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
    """Import all that a run needs, so that forked children start at once; one thread each.

    A fork copies the calling thread alone. That is sound as long as there is no other, so this
    process must import and never compute with PyTorch.
    """
    # Before numpy and PyTorch are imported, which read them once.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    import torch

    import recbole_painvrl  # noqa: F401  (makes the models known)

    torch.set_num_threads(1)
    for name in _NEEDED:
        importlib.import_module(name)
    # The first optimizer makes PyTorch import hundreds of modules more.
    torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))])
    names = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
    others = [name for name in names[1:] if name not in _FORK_SAFE]
    if others:
        raise RuntimeError(f"imports have started threads {others}: a fork would not be sound")


def make_data(root: Path) -> None:
    """A planted dataset with an OOD test, ``root/small``."""
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


def arguments(case: str, data: Path, output: Path, name: str, *more: str) -> list[str]:
    """Command line of a run of a case, into ``output/name``."""
    return [
        f"--dataset={DATASET}",
        f"--data_path={data}",
        f"--output_dir={output}",
        f"--run_name={name}",
        "--epochs=4",
        "--show_progress=False",
        "--use_gpu=False",
        *CASES[case],
        *more,
    ]


def fork(argv: Sequence[str], log: Path, before: Callable[[], None] = lambda: None) -> int:
    """Start the command line's ``main`` in a forked child; returns its process number.

    Args:
        argv: the arguments.
        log: file for what it prints.
        before: called in the child first, to put hooks in place.
    """
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        handle = os.open(log, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o644)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        sys.argv = ["run_recbole.py", *argv]
        before()
        from recbole_painvrl.cli.run import main

        code = main(argv)
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:  # noqa: BLE001  (a child must never go on as its parent)
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(code)


def wait(child: int) -> int:
    """Exit code of a child; negative for the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def run(argv: Sequence[str], log: Path) -> int:
    """Exit code of a run in a forked child."""
    return wait(fork(argv, log))


def limit_saving(fraction: float) -> None:
    """Change the fraction of the time that saving may take: large saves at every epoch."""
    from recbole_painvrl.training import pipeline

    pipeline._SAVING_FRACTION = fraction


def watch_saves(pipe: int, number: int = 0, point: str = "") -> None:
    """Write a byte into ``pipe`` at every save; or block forever in the n-th save, then write.

    Args:
        pipe: where bytes are written.
        number: of the save to stop in, from 1; 0 counts all of them.
        point: one of ``POINTS``.
    """
    fsync, replace, saves = os.fsync, os.replace, 0

    def reached(*points: str) -> bool:
        return saves == number and point in points

    def stop() -> None:
        os.write(pipe, b"x")
        while True:
            time.sleep(60)

    def synced(handle: int) -> None:
        nonlocal saves
        # Every save syncs its file, then puts it in place, then syncs its folder.
        if not stat.S_ISDIR(os.fstat(handle).st_mode):
            saves += 1
            if number == 0:
                os.write(pipe, b"x")
            if reached("half written"):
                os.ftruncate(handle, os.fstat(handle).st_size // 2)
            if reached("half written", "not synced"):
                stop()
        fsync(handle)

    def replaced(source: Path, target: Path) -> None:
        if reached("not in place"):
            stop()
        replace(source, target)
        if reached("just in place"):
            stop()

    vars(os).update(fsync=synced, replace=replaced)


def outcome(folder: Path) -> dict[str, Any]:
    """What must not depend on interruptions: figures, weights, mask, environments, per user."""
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    found = {name: result.get(name) for name in ("metrics", "split", "planted", "hashes", "seeds")}
    found["stages"] = [
        {key: value for key, value in stage.items() if key not in ("seconds", "peak_memory_mb")}
        for stage in result["stages"]
    ]
    files = [*(folder / "checkpoint").iterdir(), *folder.glob("*.npz"), *folder.glob("*.parquet")]
    # The rolling checkpoint holds seconds.
    return found | {path.name: path.read_bytes() for path in files if path.stem != "last"}


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Names of what differs between two outcomes."""
    return sorted(name for name in {*one, *other} if one.get(name) != other.get(name))


def _arrays(path: Path) -> None:
    import numpy as np

    with np.load(path, allow_pickle=False) as archive:
        for name in archive.files:
            archive[name]


def read_saved(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Tensors and state of a checkpoint.

    Raises:
        ValueError: it is not whole.
    """
    import torch

    from recbole_painvrl.training.checkpoint import read_checkpoint

    return read_checkpoint(path, torch.device("cpu"))


def unreadable(folder: Path) -> list[str]:
    """Files of a run folder that are there under their name and not whole."""
    import pandas as pd
    import yaml

    readers: dict[str, Callable[[Path], Any]] = {
        ".safetensors": read_saved,
        ".json": lambda path: json.loads(path.read_text(encoding="utf-8")),
        ".yaml": lambda path: yaml.safe_load(path.read_text(encoding="utf-8"))["model"],
        ".npz": _arrays,
        ".parquet": pd.read_parquet,
    }
    bad = []
    for path in sorted(folder.rglob("*")):
        if path.suffix in readers and not path.name.startswith("."):
            try:
                readers[path.suffix](path)
            except Exception as error:  # noqa: BLE001  (whatever it is, the file is not whole)
                bad.append(f"{path.name}: {error}")
    return bad


def stage_reached(folder: Path, stages: Sequence[str]) -> str:
    """The stage in which a run was stopped, by its rolling checkpoint.

    Args:
        folder: the run folder.
        stages: all stages of such a run, in order.
    """
    path = folder / "checkpoint" / "last.safetensors"
    with contextlib.suppress(ValueError):
        if path.is_file():
            done = read_saved(path)[1]["done"]
            return next((stage for stage in stages if stage not in done), "after the last stage")
    return "before the first checkpoint"
