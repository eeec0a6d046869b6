"""What an estimate of memory is compared with: limits, processes, the program itself."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from recbole_painvrl.config import SafeConfig
from recbole_painvrl.errors import UserError
from recbole_painvrl.run import cgroups, memory
from recbole_painvrl.run.memory import Sizes, available_memory, check_memory, estimate

GB = 2**30
DATA = Sizes(40_000, 20_000, 10**6, {"visual": 128, "acoustic": 64})


@pytest.fixture
def empty_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process holds nothing."""
    process = SimpleNamespace(memory_info=lambda: SimpleNamespace(rss=0, vms=0))
    monkeypatch.setattr(memory.psutil, "Process", lambda: process)


@pytest.mark.usefixtures("empty_program")
def test_a_run_fits_up_to_the_last_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    config: Any = SafeConfig("VBPR", "planted")
    needed = sum(estimate("VBPR", DATA, config).values())
    monkeypatch.setattr(memory, "available_memory", lambda: needed)
    check_memory("VBPR", DATA, config, on_gpu=False)
    monkeypatch.setattr(memory, "available_memory", lambda: needed - 1)
    with pytest.raises(UserError, match="memory: this run needs"):
        check_memory("VBPR", DATA, config, on_gpu=False)


@pytest.mark.usefixtures("empty_program")
def test_processes_divide_the_users_and_share_a_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """4 processes, 2 of them here: one dataset, and twice what a quarter of the users needs."""
    config: Any = SafeConfig("LightGCN", "planted")
    quarter = Sizes(10_000, DATA.items, DATA.interactions, DATA.columns)
    parts = estimate("LightGCN", quarter, config)
    needed = 2 * sum(parts.values()) - parts["dataset"]
    monkeypatch.setattr(memory, "available_memory", lambda: needed)
    check_memory("LightGCN", DATA, config, on_gpu=False, processes=(4, 2))
    monkeypatch.setattr(memory, "available_memory", lambda: needed - 1)
    with pytest.raises(UserError, match="memory: this run needs"):
        check_memory("LightGCN", DATA, config, on_gpu=False, processes=(4, 2))


@pytest.mark.usefixtures("empty_program")
def test_a_card_holds_the_model_and_the_machine_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    config: Any = SafeConfig("VBPR", "planted")
    parts = estimate("VBPR", DATA, config)
    on_machine = parts["program"] + parts["dataset"]
    on_card = sum(parts.values()) - on_machine
    monkeypatch.setattr(memory, "available_memory", lambda: on_machine)
    monkeypatch.setattr(memory, "_free_gpu", lambda: on_card)
    check_memory("VBPR", DATA, config, on_gpu=True)
    for name, size, said in (
        ("available_memory", on_machine, "memory"), ("_free_gpu", on_card, "GPU memory"),
    ):  # fmt: skip
        with monkeypatch.context() as patch:
            patch.setattr(memory, name, lambda size=size: size - 1)
            with pytest.raises(UserError, match=f"^{said}: this run needs"):
                check_memory("VBPR", DATA, config, on_gpu=True)


def test_a_limit_of_the_process_counts_what_it_has_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    process = SimpleNamespace(memory_info=lambda: SimpleNamespace(vms=2 * GB))
    monkeypatch.setattr(memory.psutil, "Process", lambda: process)
    monkeypatch.setattr(memory.resource, "getrlimit", lambda _: (5 * GB, 5 * GB))
    free = SimpleNamespace(available=9 * GB)
    monkeypatch.setattr(memory.psutil, "virtual_memory", lambda: free)
    monkeypatch.setattr(memory, "cgroup_memory", lambda: [])
    assert available_memory() == 3 * GB


@pytest.mark.parametrize("version", [1, 2])
def test_every_group_above_a_process_limits_it(
    version: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of cgroup versions 1 and 2, less the files in memory of each group with its children."""
    root = tmp_path / "memory" if version == 1 else tmp_path
    names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "memory.stat")
    names = names if version == 1 else ("memory.max", "memory.current", "memory.stat")
    stat = "inactive_file 1\ntotal_inactive_file 30\n" if version == 1 else "inactive_file 30\n"
    for folder, limit in (("jobs/7", 1000), ("jobs", 900)):
        place = root / folder
        place.mkdir(parents=True, exist_ok=True)
        for name, text in zip(names, (limit, 400, stat), strict=True):
            (place / name).write_text(str(text))
    line = "9:cpu,memory:/jobs/7\n" if version == 1 else "0::/jobs/7\n"
    monkeypatch.setattr(cgroups, "_ROOT", tmp_path)
    read = Path.read_text
    monkeypatch.setattr(
        Path, "read_text",
        lambda path, **how: line if str(path) == "/proc/self/cgroup" else read(path, **how),
    )  # fmt: skip
    assert cgroups.cgroup_memory() == [630, 530]
