"""Complete runs of many models on the tiny dataset, each made once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from serving_support import MakeRun
from support import SHORT_STAGES, run_main


@pytest.fixture(scope="session")
def finished(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> MakeRun:
    """Folder of a complete run of a model with some settings; never change it."""
    made: dict[tuple[str, ...], Path] = {}
    place = tmp_path_factory.mktemp("finished")
    # Protocol iid_ood keeps its split in the dataset's folder.
    data = Path(shutil.copytree(tiny_data, place / "data"))

    def make(model: str, *argv: str) -> Path:
        key = (model, *argv)
        if key not in made:
            stages = SHORT_STAGES if model in ("PaInvRL", "InvRL") else ()
            run = run_main(data, place, model, *stages, *argv, name=" ".join(key))
            assert run.code == 0, run.err
            made[key] = run.folder
        return made[key]

    return make
