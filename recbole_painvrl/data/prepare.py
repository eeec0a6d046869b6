"""Makes sure that the dataset is there: generated on first use where the package can."""

from __future__ import annotations

from collections.abc import Callable
from logging import getLogger
from pathlib import Path

from recbole_painvrl.data.folder import DatasetContent, FolderExistsError, write_dataset
from recbole_painvrl.data.planted import PlantedDesign, generate_planted
from recbole_painvrl.data.planted.embedded import NAME as EMBEDDED
from recbole_painvrl.data.planted.embedded import generate_embedded
from recbole_painvrl.errors import UserError, did_you_mean

GENERATORS: dict[str, Callable[[], DatasetContent]] = {
    EMBEDDED: generate_embedded,
    "planted": lambda: generate_planted(PlantedDesign()),
}


def ensure_dataset(name: str, folder: Path) -> None:
    """Generate the dataset if its folder is absent and the package knows how.

    Raises:
        UserError: the folder does not exist and the dataset cannot be generated.
    """
    if len(Path(name).parts) > 1 or name != Path(name).name:
        given = Path(name)
        above = f"--data_path={given.parent} " if len(given.parts) > 1 else ""
        raise UserError(
            f"dataset `{name}`: found a path, expected a name; type `{above}--dataset={given.name}`"
        )
    if folder.is_dir():
        return
    if name not in GENERATORS:
        known = [*GENERATORS, "ml-100k"]
        if folder.parent.name == name and folder.parent.is_dir():
            raise UserError(
                f"`data_path`: found the dataset's own folder {folder.parent}, expected the one "
                f"above; type `--data_path={folder.parent.parent} --dataset={name}`"
            )
        raise UserError(
            f"dataset `{name}`: no folder {folder}{did_you_mean(name, known)}; prepare it with "
            f"`python -m dataset_prep SOURCE --output {folder}`, set `--data_path`, "
            f"or use one that needs no download: {', '.join(known)}"
        )
    getLogger("recbole_painvrl").info("generating dataset `%s` in %s (once)", name, folder)
    try:
        write_dataset(GENERATORS[name](), folder)
    except FolderExistsError:
        getLogger("recbole_painvrl").info("%s: another process was faster", folder)
