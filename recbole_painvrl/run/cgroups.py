"""What control groups, of containers and job systems, leave of the memory; needs no package."""

from __future__ import annotations

from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")


def cgroup_memory() -> list[int]:
    """Bytes left of every limit of this process's control groups; empty without any."""
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    left: list[int | None] = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            root, names = _ROOT, ("memory.max", "memory.current")
        elif "memory" in controllers.split(","):
            root, names = _ROOT / "memory", ("memory.limit_in_bytes", "memory.usage_in_bytes")
        else:
            continue
        # Inside a container the path is the host's and its own group is the root.
        for group in (root / path.lstrip("/"), root):
            left.append(_left(group / names[0], group / names[1]))
    return [one for one in left if one is not None]


def _left(limit: Path, used: Path) -> int | None:
    try:
        free = int(limit.read_text()) - int(used.read_text())
    except (OSError, ValueError):
        # No such group, or "max".
        return None
    return max(0, free + _cached(used.with_name("memory.stat")))


def _cached(statistics: Path) -> int:
    """Bytes of files in memory that the kernel drops before it ends a process."""
    try:
        values = dict(line.split() for line in statistics.read_text().splitlines())
        return int(values.get("inactive_file", 0))
    except (OSError, ValueError):
        return 0
