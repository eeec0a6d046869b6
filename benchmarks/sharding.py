"""Memory and time of a training step in several processes, and the memory of whole runs.

    python -m benchmarks.sharding                      200,000 users, 1, 2 and 3 processes
    python -m benchmarks.sharding whole                a run of 10 M interactions in 2 processes

The first command trains UltraGCN with features on random data; its processes take turns, so that
other load affects all alike. The second writes a dataset, starts ``torchrun run_recbole.py`` and
watches the memory of its processes (Linux only).
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from benchmarks.common import ROOT, command_line, machine_facts, print_table

_MB = 2**20
_STEPS = {512: 20, 8192: 6}
_WARM_UP = 2


def worker(given: Any) -> None:
    """Measure the steps of this process; the first process writes the results of all."""
    import torch

    import recbole_painvrl

    recbole_painvrl.start()
    from recbole_painvrl.parallel import group

    torch.set_num_threads(1)
    with group.joined(torch.device("cpu")):
        found = group.every(_measured(given))
        if group.is_first():
            Path(given.out).write_text(json.dumps(found), encoding="utf-8")


def _measured(given: Any) -> dict[str, Any]:
    import torch
    from recbole.utils import get_model

    from benchmarks.steps import RandomData, settings
    from recbole_painvrl.parallel import group
    from recbole_painvrl.parallel.shards import OwnRows, balanced_shards
    from recbole_painvrl.training.row_gradients import use_row_gradients
    from recbole_painvrl.training.sharded import ShardedSteps

    data: Any = RandomData(_shape(given))
    counts = torch.bincount(data.users, minlength=given.users + 1)
    data.shard = balanced_shards(counts, group.size())[group.rank()]
    own = OwnRows(data.shard.has(data.users))
    config = settings("UltraGCN", data.device, "--n_neighbours=5")
    before = _memory("self")["private"]
    model = get_model("UltraGCN")(config, data)
    optimizer = torch.optim.Adam(model.parameter_groups(), lr=1e-3, fused=True)
    use_row_gradients(config, model, optimizer)
    guard = SimpleNamespace(failure=None)
    trainer: Any = SimpleNamespace(model=model, guard=guard, device=torch.device("cpu"))
    sharded = ShardedSteps(trainer, optimizer) if group.size() > 1 else None
    seconds = {}
    for size, n_steps in _STEPS.items():
        order = torch.randperm(len(data.users), generator=torch.Generator().manual_seed(1))
        local, _, kept = own.pick(order[: size * (n_steps + _WARM_UP)], size)
        batches = own.rows[local].split(kept)
        seconds[str(size)] = _seconds_of_a_step(data, model, optimizer, sharded, batches, size)
    learnt = [*optimizer.state.values()]
    moments = sum(m[key].numel() for m in learnt for key in ("exp_avg", "exp_avg_sq"))
    n_learnt = sum(parameter.numel() for parameter in model.parameters())
    return {
        "users": data.shard.n_rows,
        # Twice the parameters: each has a gradient of the same size.
        "learnt": 4 * (2 * n_learnt + moments),
        "resident": _memory("self")["private"] - before,
        "seconds": seconds,
    }


def _shape(given: Any) -> Any:
    from benchmarks.steps import Shape

    return Shape(given.users, given.items, (given.columns,), given.interactions)


def _seconds_of_a_step(
    data: Any, model: Any, optimizer: Any, sharded: Any, batches: Sequence[Any], size: int
) -> float:
    """Median over the steps after a warm-up."""
    from recbole.data.interaction import Interaction

    from recbole_painvrl.parallel import group

    loss_function = model.calculate_loss
    if sharded is not None:
        loss_function = sharded.weighted(loss_function, SimpleNamespace(n_rows=size))
    taken: list[float] = []
    for rows in batches:
        batch = Interaction({"user_id": data.users[rows], "item_id": data.items[rows]})
        group.wait()
        start = time.perf_counter()
        optimizer.zero_grad()
        loss_function(batch).backward()
        optimizer.step()
        taken.append(time.perf_counter() - start)
    return float(statistics.median(taken[_WARM_UP:]))


def steps(given: Any) -> None:
    """Start 1, 2 and 3 processes in turns and print the table."""
    found: dict[int, list[list[dict[str, Any]]]] = {n: [] for n in given.processes}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(given.repeats):
            for n_processes in given.processes:
                out = Path(folder) / "found.json"
                arguments = [f"--{name}={getattr(given, name)}" for name in _SIZES]
                words = ["benchmarks.sharding", "worker", f"--out={out}", *arguments]
                subprocess.run(_launch(n_processes, "-m", *words), cwd=ROOT, check=True, env=_env())
                found[n_processes].append(json.loads(out.read_text(encoding="utf-8")))
    print("\n".join(machine_facts()))
    first = found[given.processes[0]]
    rows = [_row(n, runs, first) for n, runs in found.items()]
    columns = ["processes", "users of each", "tables, gradients and moments, MB each"]
    columns += ["resident, MB each"]
    columns += [f"batch {size}: ms per step (speed-up)" for size in _STEPS]
    print_table(columns, rows)


def _row(n: int, runs: list[list[dict[str, Any]]], first: list[list[dict[str, Any]]]) -> list[str]:
    def seconds(measured: list[list[dict[str, Any]]], size: int) -> float:
        # A step takes as long as in the slowest process.
        steps = [max(float(one["seconds"][str(size)]) for one in run) for run in measured]
        return statistics.median(steps)

    def shown(name: str, unit: int = _MB) -> str:
        return " / ".join(f"{one[name] / unit:,.0f}" for one in runs[-1])

    row = [str(n), shown("users", 1), shown("learnt"), shown("resident")]
    for size in _STEPS:
        taken = seconds(runs, size)
        row.append(f"{1000 * taken:.1f} ({seconds(first, size) / taken:.2f})")
    return row


def whole(given: Any) -> None:
    """Run UltraGCN on a dataset from disk and print the memory of every process."""
    from benchmarks.steps import RandomData
    from recbole_painvrl.data.folder import write_dataset

    folder = Path(tempfile.mkdtemp(prefix="sharding-"))
    try:
        data = RandomData(_shape(given)).dataset("large")
        n_pairs = len(data.interactions)
        write_dataset(data, folder / "data" / "large")
        arguments = [
            "--model=UltraGCN",
            "--dataset=large",
            f"--data_path={folder / 'data'}",
            f"--output_dir={folder / 'runs'}",
            "--run_name=run",
            "--epochs=1",
            "--train_batch_size=65536",
            "--use_gpu=False",
            "--show_progress=False",
        ]
        start = time.perf_counter()
        n_processes = given.processes[-1]
        command = _launch(n_processes, "run_recbole.py", *arguments)
        process = subprocess.Popen(command, cwd=ROOT, env=_env())
        peaks = _watched(process)
        if process.returncode:
            raise SystemExit(f"the run failed with exit code {process.returncode}")
        minutes = (time.perf_counter() - start) / 60
        print("\n".join(machine_facts()))
        print(f"{n_pairs:,} interactions, {minutes:.1f} minutes")
        columns = ["process", "peak, MB", "largest private, MB", "largest mapped, MB"]
        rows = [
            [rank, *(f"{peak[name] / _MB:,.0f}" for name in ("all", "private", "mapped"))]
            for rank, peak in enumerate(peaks)
        ]
        print_table(columns, rows)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _watched(process: subprocess.Popen[bytes]) -> list[dict[str, int]]:
    """Largest memory of every process that trains, by rank, until all have ended."""
    import psutil

    started, peaks = psutil.Process(process.pid), dict[int, dict[str, int]]()
    while process.poll() is None:
        children: list[psutil.Process] = []
        with contextlib.suppress(psutil.Error):
            children = started.children(recursive=True)
        for one in (started, *children):
            # A process may end while it is looked at.
            with contextlib.suppress(psutil.Error, OSError, KeyError):
                words = one.cmdline()
                if "run_recbole.py" in words and "torch.distributed.run" not in words:
                    now = _memory(str(one.pid))
                    kept = peaks.setdefault(int(one.environ().get("RANK", 0)), now)
                    kept.update({name: max(kept[name], size) for name, size in now.items()})
        time.sleep(0.2)
    return [peaks[rank] for rank in sorted(peaks)]


def _memory(process: str) -> dict[str, int]:
    """Bytes of a process: its peak, and at present its private memory and its mapped files."""
    lines = Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines()
    values = {line.partition(":")[0]: line.split()[1:2] for line in lines}
    names = {"all": "VmHWM", "private": "RssAnon", "mapped": "RssFile"}
    return {name: 1024 * int(values[key][0]) for name, key in names.items()}


def _launch(n_processes: int, *words: str) -> list[str]:
    launcher = ["-m", "torch.distributed.run", f"--nproc-per-node={n_processes}"]
    return [sys.executable, *(launcher if n_processes > 1 else []), *words]


def _env() -> dict[str, str]:
    fixed = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    return {**os.environ, **fixed, "PYTHONPATH": str(ROOT)}


_SIZES = ("users", "items", "interactions", "columns")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one of the two; returns the exit code."""
    parser = command_line(__doc__)
    parser.add_argument("what", nargs="?", default="steps", choices=["steps", "whole", "worker"])
    parser.add_argument("--users", type=int, help="default 200,000; whole: 500,000")
    parser.add_argument("--items", type=int, help="default 20,000; whole: 5,000")
    parser.add_argument("--interactions", type=int, help="default 2 M; whole: 10 M")
    parser.add_argument("--columns", type=int, default=128, help="of the features")
    parser.add_argument("--processes", type=int, nargs="+", help="default 1 2 3; whole: 2")
    parser.add_argument("--repeats", type=int, default=3, help="rounds of the processes")
    parser.add_argument("--out", help="file of a worker")
    given = parser.parse_args(argv)
    sizes = (500_000, 5_000, 10_000_000) if given.what == "whole" else (200_000, 20_000, 2_000_000)
    for name, size in zip(_SIZES, sizes, strict=False):
        vars(given)[name] = getattr(given, name) or size
    given.processes = given.processes or ([2] if given.what == "whole" else [1, 2, 3])
    {"steps": steps, "whole": whole, "worker": worker}[given.what](given)
    return 0


if __name__ == "__main__":
    sys.exit(main())
