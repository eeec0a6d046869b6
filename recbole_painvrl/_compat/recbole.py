"""Hooks and mends of RecBole 1.2.1 itself, whatever libraries are installed."""

from __future__ import annotations

import copy
import importlib
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from recbole_painvrl._compat.wrapping import TAG, wrap


def quiet_warnings() -> None:
    """Hide warnings about RecBole 1.2.1's own code; users can do nothing about them.

    Unnecessary with a RecBole that supports pandas 3 and a PyTorch of today.
    """
    for message, category, module in (
        # Filling in place; `_compat.pandas` has filled these values before.
        ("A value is (trying to be|being) set", Warning, r"recbole\.data\."),
        ("The inplace keyword", Warning, r"recbole\.data\."),
        # RecBole's interactions sort and convert tensors by NumPy's functions.
        ("__array_wrap__ must accept", DeprecationWarning, r"numpy\."),
        # LightGCN, NCL and others build their adjacency by a constructor that still works.
        (r"torch\.sparse\.SparseTensor", UserWarning, r"recbole\.model\."),
        (r"`torch\.cuda\.amp\.GradScaler", FutureWarning, r"recbole\.trainer\."),
    ):
        warnings.filterwarnings("ignore", message, category, module)


def add_model(name: str, module: ModuleType) -> None:
    """Let RecBole's ``get_model`` find a model in its module.

    ``get_model`` imports ``recbole.model.general_recommender.<name in lower case>``, under which
    the module is entered. Unnecessary with a RecBole that has an entry point for models.
    """
    sys.modules[f"recbole.model.general_recommender.{name.lower()}"] = module


def add_lazy_attributes(module_name: str, targets: Mapping[str, type | str]) -> None:
    """Give a RecBole module attributes that are imported when RecBole first asks for them.

    ``get_trainer`` and ``create_dataset`` look for ``<Model>Trainer`` and ``<Model>Dataset`` by
    ``getattr``. Unnecessary with a RecBole that has an entry point for them.

    Args:
        module_name: ``recbole.trainer`` or ``recbole.data.dataset``.
        targets: attribute -> the class, or ``"module:name"``.
    """
    module = importlib.import_module(module_name)
    known: dict[str, type | str] | None = module.__dict__.get(TAG)
    if known is not None:
        known.update(targets)
        return
    known = dict(targets)
    setattr(module, TAG, known)
    previous = module.__dict__.get("__getattr__")
    module.__dict__["__getattr__"] = _lazy_getattr(module, known, previous)


def _lazy_getattr(
    module: ModuleType, known: dict[str, type | str], previous: Callable[[str], Any] | None
) -> Callable[[str], Any]:
    def lazy(name: str) -> Any:
        if name not in known:
            if previous is not None:
                return previous(name)
            raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")
        target = known[name]
        if not isinstance(target, str):
            return target
        source, attribute = target.split(":")
        try:
            value = getattr(importlib.import_module(source), attribute)
        except AttributeError as error:
            # RecBole takes AttributeError for "no own trainer" and would go on with its default.
            raise ImportError(f"{source} could not give {attribute}: {error}") from error
        setattr(module, name, value)
        return value

    return lazy


def add_dataset_arguments(names: list[str]) -> None:
    """Let RecBole's cache of filtered datasets notice that one of these settings changed.

    Unnecessary with a RecBole whose cache compares the whole configuration.
    """
    known = importlib.import_module("recbole.utils.argument_list").dataset_arguments
    known.extend(name for name in names if name not in known)


def wrap_internal_config(
    internal: Callable[[Any, str, str], dict[str, Any] | None],
) -> None:
    """Let the plugin supply the property files of its models in RecBole's own ``Config``.

    ``Config._load_internal_config_dict`` reads RecBole's own folder only and has no hook.
    Unnecessary with a RecBole that has a search path for properties.

    Args:
        internal: called with the configuration, model and dataset; returns what is laid over
            RecBole's internal values, or None for a model that is not the plugin's.
    """

    def load(original: Any, self: Any, model: str, model_class: type, dataset: str) -> None:
        original(self, model, model_class, dataset)
        own = internal(self, model, dataset)
        if own is not None:
            self.internal_config_dict.update(own)

    wrap(importlib.import_module("recbole.config").Config, "_load_internal_config_dict", load)


def fix_collector() -> None:
    """Make ItemCoverage, AveragePopularity, GiniIndex and TailPercentage work.

    ``Collector.get_data_struct`` calls ``.cpu()`` on counts that are plain numbers (RecBole issue
    2194). Unnecessary with a RecBole newer than 1.2.1 that has fixed it.
    """

    def get_data_struct(original: Any, self: Any) -> Any:
        values = self.data_struct._data_dict
        plain = {key: value for key, value in values.items() if not hasattr(value, "cpu")}
        for key in plain:
            del values[key]
        try:
            collected = original(self)
        finally:
            values.update(plain)
        for key, value in plain.items():
            collected.set(key, value)
        return collected

    module = importlib.import_module("recbole.evaluator.collector")
    wrap(module.Collector, "get_data_struct", get_data_struct)


def fix_popularity() -> None:
    """Let ``Pop`` count every interaction, and nothing else.

    ``Pop.calculate_loss`` adds 1 by indexed assignment, so an item that occurs often in a batch
    is counted once and the ranking depends on ``train_batch_size``; and it counts the negatives
    that the loader draws. Unnecessary with a RecBole newer than 1.2.1 that has fixed both.
    """

    def init(original: Any, self: Any, config: Any, dataset: Any) -> None:
        original(self, config, dataset)
        self.LABEL = config["LABEL_FIELD"]

    def calculate_loss(original: Any, self: Any, interaction: Any) -> Any:
        items = interaction[self.ITEM_ID]
        if self.LABEL in interaction.interaction:
            items = items[interaction[self.LABEL] > 0]
        before = self.item_cnt.clone()
        loss = original(self, interaction)
        self.item_cnt = before + items.bincount(minlength=len(before))[:, None]
        self.max_cnt = self.item_cnt.max(dim=0)[0]
        return loss

    pop = importlib.import_module("recbole.model.general_recommender.pop").Pop
    wrap(pop, "__init__", init)
    wrap(pop, "calculate_loss", calculate_loss)


def keep_best_in_memory() -> None:
    """Let RecBole's trainers evaluate their best epoch without unpickling their checkpoint.

    ``Trainer.evaluate`` reads back a pickle that holds the whole ``Config``, which ``torch.load``
    refuses since PyTorch 2.6. The file is written as before, and the trainer that wrote it also
    keeps the weights in memory. Any other file, and one that has changed since, goes to
    ``torch.load`` and its refusal. Unnecessary with a RecBole newer than 1.2.1 whose checkpoints
    hold weights alone.
    """

    def save_checkpoint(original: Any, self: Any, epoch: int, *args: Any, **kwargs: Any) -> None:
        path = Path(kwargs.get("saved_model_file", self.saved_model_file))
        original(self, epoch, *args, **kwargs)
        if path.is_file():
            weights = {k: v.detach().cpu().clone() for k, v in self.model.state_dict().items()}
            self._kept = (_identity(path), weights, _copied(self.model.other_parameter()))

    def evaluate_best(
        original: Any,
        self: Any,
        eval_data: Any,
        load_best_model: bool = True,
        model_file: str | None = None,
        show_progress: bool = False,
    ) -> Any:
        path = Path(model_file or self.saved_model_file)
        kept = getattr(self, "_kept", None)
        if load_best_model and kept is not None and path.is_file() and kept[0] == _identity(path):
            self.model.load_state_dict(kept[1])
            self.model.load_other_parameter(_copied(kept[2]))
            load_best_model = False
        return original(self, eval_data, load_best_model, model_file, show_progress)

    trainer = importlib.import_module("recbole.trainer.trainer").Trainer
    wrap(trainer, "_save_checkpoint", save_checkpoint)
    wrap(trainer, "evaluate", evaluate_best)


def _identity(path: Path) -> tuple[str, int, int, int]:
    """Path, inode, size and time of a file, which tell whether it was written again."""
    stat = path.stat()
    return str(path.resolve()), stat.st_ino, stat.st_size, stat.st_mtime_ns


def _copied(values: dict[str, Any]) -> dict[str, Any]:
    """A copy that later training does not change; a tensor's history stays behind."""
    return {
        name: value.detach().clone() if hasattr(value, "detach") else copy.deepcopy(value)
        for name, value in values.items()
    }


def count_rows_without_list() -> None:
    """Let loaders number their rows by a range.

    ``AbstractDataLoader`` gives PyTorch ``list(range(n))``, 36 bytes per interaction and process.
    Unnecessary with a RecBole that gives the range.
    """

    def sequence(values: Any) -> Any:
        return values if isinstance(values, range) else list(values)

    module = importlib.import_module("recbole.data.dataloader.abstract_dataloader")
    module.__dict__["list"] = sequence


def fix_random() -> None:
    """Let ``Random`` rank the items of every user anew, and the same way every time.

    ``Random.full_sort_predict`` draws one ranking for all users of a batch, from the generator of
    the training; every evaluation gives other figures. Unnecessary with a RecBole newer than 1.2.1
    whose baseline draws per user.
    """
    torch = importlib.import_module("torch")

    def init(original: Any, self: Any, config: Any, dataset: Any) -> None:
        original(self, config, dataset)
        self.seed = config["seed"]

    def scores_of(self: Any, user: int) -> Any:
        source = torch.Generator().manual_seed(self.seed * self.n_users + user)
        return torch.rand(self.n_items, generator=source, dtype=torch.float64)

    def full_sort_predict(self: Any, interaction: Any) -> Any:
        users = interaction[self.USER_ID].tolist()
        return torch.cat([scores_of(self, user) for user in users]).to(self.device)

    def predict(self: Any, interaction: Any) -> Any:
        users, rows = interaction[self.USER_ID].cpu().unique(return_inverse=True)
        table = torch.stack([scores_of(self, user) for user in users.tolist()])
        return table[rows, interaction[self.ITEM_ID].cpu()].to(self.device, torch.float32)

    random = importlib.import_module("recbole.model.general_recommender.random").Random
    wrap(random, "__init__", init)
    random.predict, random.full_sort_predict = predict, full_sort_predict


class _Silent:
    """A logger of TensorBoard, or of Weights and Biases, that writes nothing."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *arguments, **keywords: None


@contextmanager
def tensorboard_in(path: Path | None) -> Iterator[None]:
    """Trainers constructed inside write their TensorBoard events into ``path``.

    None for nowhere, and then they log nothing to Weights and Biases either, where every process of
    a run would begin one of its own. ``Trainer.__init__`` calls ``get_tensorboard``, which writes
    to ./log_tensorboard wherever the command was started. Unnecessary with a RecBole that has a
    setting for the folder.
    """
    module: Any = importlib.import_module("recbole.trainer.trainer")
    writer_class = importlib.import_module("torch.utils.tensorboard").SummaryWriter
    originals = module.get_tensorboard, module.WandbLogger
    module.get_tensorboard = lambda logger: _Silent() if path is None else writer_class(str(path))
    if path is None:
        module.WandbLogger = lambda config: _Silent()
    try:
        yield
    finally:
        module.get_tensorboard, module.WandbLogger = originals
