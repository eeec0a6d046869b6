"""The rolling checkpoint of several processes: a file of each, then a manifest that names them.

The manifest is written when all files are in place, and only then are the files of the previous
save removed: whenever a process is killed, the manifest names files that all exist.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from recbole_painvrl.atomic import write_json
from recbole_painvrl.errors import UserError
from recbole_painvrl.parallel import group
from recbole_painvrl.parallel.shards import UserShard
from recbole_painvrl.reading import parse_json, reason
from recbole_painvrl.training.checkpoint import OF_USERS, read_checkpoint, write_checkpoint


def manifest_of(path: Path) -> Path:
    """The manifest beside the checkpoint ``path`` of one process."""
    return path.with_suffix(".json")


def is_saved(path: Path) -> bool:
    """Whether there is a checkpoint, of one process or of several."""
    return path.is_file() or manifest_of(path).is_file()


def write_shards(path: Path, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
    """Write the state of every process; all of them call this."""
    number = group.from_first(lambda: 1 + max(map(_number, _shards(path)), default=0))
    names = [f"{path.stem}.{number}.{rank}{path.suffix}" for rank in range(group.size())]
    write_checkpoint(path.with_name(names[group.rank()]), tensors, state)
    group.wait()
    if group.is_first():
        write_json(manifest_of(path), {"shards": names})
        for old in [path, *_shards(path)]:
            if old.name not in names:
                old.unlink(missing_ok=True)


def read_state(
    path: Path, device: torch.device, shard: UserShard | None
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and state of the newest checkpoint, with the rows of this process's users.

    As many processes as wrote it read what they wrote; for another number the rows of users are
    put together and divided anew.

    Args:
        path: the checkpoint of one process; the others are beside it.
        device: where the tensors go.
        shard: users of this process.

    Raises:
        UserError: a file is missing, cut or changed.
    """
    if not manifest_of(path).is_file():
        return read_checkpoint(path, device)
    try:
        names = parse_json(manifest_of(path).read_text(encoding="utf-8"))["shards"]
        files = [path.with_name(str(Path(name).name)) for name in names]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise UserError(
            f"{manifest_of(path)}: not a readable checkpoint ({reason(error)}); start the run again"
        ) from error
    if len(files) == group.size():
        return read_checkpoint(files[group.rank()], device)
    tensors, state = read_checkpoint(files[0], device)
    rows = {name: [one] for name, one in tensors.items() if name.endswith(OF_USERS)}
    for file in files[1:]:
        others, _ = read_checkpoint(file, device)
        for name, parts in rows.items():
            parts.append(others[name])
    for name, parts in rows.items():
        whole = torch.cat(parts)
        tensors[name] = whole if shard is None else shard.rows(whole)
    return tensors, state


def remove_shards(path: Path) -> None:
    """Remove the checkpoint of several processes, the manifest first."""
    if not manifest_of(path).is_file():
        return
    manifest_of(path).unlink()
    for old in _shards(path):
        old.unlink(missing_ok=True)


def _shards(path: Path) -> list[Path]:
    return sorted(path.parent.glob(f"{path.stem}.*.*{path.suffix}"))


def _number(path: Path) -> int:
    text = path.name.split(".")[1]
    return int(text) if text.isdecimal() else 0
