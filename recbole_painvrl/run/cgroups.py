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
            root, names, cached = _ROOT, ("memory.max", "memory.current"), "inactive_file"
        elif "memory" in controllers.split(","):
            root, names = _ROOT / "memory", ("memory.limit_in_bytes", "memory.usage_in_bytes")
            cached = "total_inactive_file"
        else:
            continue
        # Inside a container the path is the host's and its own group is the root.
        own = root / path.lstrip("/")
        for group in (own, *(one for one in own.parents if one.is_relative_to(root))):
            left.append(_left(group / names[0], group / names[1], cached))
    return [one for one in left if one is not None]


def _left(limit: Path, used: Path, cached: str = "inactive_file") -> int | None:
    try:
        free = int(limit.read_text()) - int(used.read_text())
    except (OSError, ValueError):
        # No such group, or "max".
        return None
    return max(0, free + _cached(used.with_name("memory.stat"), cached))


def _cached(statistics: Path, name: str) -> int:
    """Bytes of files in memory that the kernel drops before it ends a process."""
    try:
        values = dict(line.split() for line in statistics.read_text().splitlines())
        return int(values.get(name, 0))
    except (OSError, ValueError):
        return 0
