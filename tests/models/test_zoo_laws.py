"""What holds for every graph model whatever its modalities, and in mixed precision."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support import SHORT_STAGES, TINY, MakeConfig, planted_data, run_main
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from zoo_support import batch_of, build, data_with_gaps, shaken

from recbole_painvrl.data.planted import PlantedDesign
from recbole_painvrl.functional import contrastive, nearest
from recbole_painvrl.inference.vectors import content_vectors
from recbole_painvrl.testing.fixed_draws import as_double
from recbole_painvrl.testing.laws import scores

# Settings of small models in which every part has an effect.
_SETTINGS = {
    "BM3": ("--score_content=0.5",),
    "DRAGON": ("--user_neighbours=4", "--knn_k=4"),
    "DualGNN": ("--user_neighbours=4",),
    "EliMRec": (),
    "FREEDOM": ("--knn_k=4",),
    "GRCN": ("--content_size=5", "--routing=True"),
    "LATTICE": ("--knn_k=4", "--raw_graph_weight=0.5"),
    "LGMRec": ("--n_hyperedges=4",),
    "MGAT": ("--latent_size=5",),
    "MGCN": ("--knn_k=4",),
    "MICRO": ("--knn_k=4", "--raw_graph_weight=0.5"),
    "SLMRec": ("--ssl_task=FAC",),
}
SETTINGS = {name: ("--embedding_size=6", *words) for name, words in _SETTINGS.items()}
# Their vectors or weights say which modality is which, or one has no part in the score at all.
_ORDERED = ("SLMRec",)
WIDTHS = {"visual": 7, "acoustic": 9, "textual": 11}
WHOLE = sum(WIDTHS.values())


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data with three modalities."""
    return planted_data(replace(TINY, modalities=WIDTHS), tmp_path_factory.mktemp("three"))


@pytest.mark.parametrize("name", ["EliMRec", "SLMRec"])
def test_gradients_of_repeated_rows_in_mixed_precision(name: str, tiny_config: MakeConfig) -> None:
    """A user or item that occurs a thousand times in a batch has nearly the float32 gradient."""
    generator = np.random.default_rng(0)
    n = 3000
    triples = np.column_stack(
        [generator.integers(1, 4, n), generator.integers(1, 3, n), generator.integers(3, 6, n)]
    )
    gradients = []
    for enabled in (False, True):
        model = build(tiny_config(name, *SETTINGS[name], "--embedding_size=8"))
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            loss = model.calculate_loss(batch_of(model, [*map(tuple, triples.tolist())]))
        loss.backward()
        gradients.append(
            torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
        )
    exact, rounded = gradients
    assert (rounded - exact).norm() < 0.05 * exact.norm()


def columns(order: list[str]) -> dict[str, list[int]]:
    start, found = 0, {}
    for name in order:
        found[name] = list(range(start, start + WIDTHS[name]))
        start += WIDTHS[name]
    return found


def moved(state: dict[str, Tensor], before: list[str], after: list[str]) -> dict[str, Tensor]:
    """Parameters of a model with the modalities ``before`` for one with some of them, ``after``."""
    to, places = {before.index(name): at for at, name in enumerate(after)}, columns(before)
    kept = [before.index(name) for name in after]
    features = [column for name in after for column in places[name]]
    found = {}
    for key, tensor in state.items():
        # Lists with an entry per modality, tables with a column per modality or per feature.
        index = re.search(r"\.(\d+)\.", f".{key}.")
        if index and int(index[1]) < len(before):
            if int(index[1]) not in to:
                continue
            key = re.sub(r"\.\d+\.", f".{to[int(index[1])]}.", f".{key}.", count=1)[1:-1]
        if tensor.dim() and tensor.shape[-1] == len(before):
            tensor = tensor[..., kept]
        elif tensor.dim() and tensor.shape[-1] == WHOLE:
            tensor = tensor[..., features]
        found[key] = tensor
    return found


class _Largest(TorchDispatchMode):
    """Remembers the largest tensor that any operation gives."""

    size = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else (result,):
            if isinstance(tensor, Tensor) and tensor.layout == torch.strided:
                self.size = max(self.size, tensor.numel())
        return result


@pytest.fixture
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of the searches and contrasts as small as the data of a test."""
    monkeypatch.setattr(nearest, "_BLOCK", 2**12)
    monkeypatch.setattr(contrastive, "_ROWS_PER_COLUMN", 0)
    monkeypatch.setitem(contrastive._BLOCK, "cpu", 2**12)


@pytest.mark.usefixtures("_small_blocks")
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        *SETTINGS.items(),
        ("ContentEASE", ("--form=whitened", "--reg_weight=2.0")),
        ("ContentEASE", ("--form=bilinear", "--reg_weight=5.0")),
    ],
)
def test_nothing_is_square(
    name: str, settings: tuple[str, ...], tiny_config: MakeConfig, tmp_path: Path
) -> None:
    """With four times the users and items at fixed degree, no tensor is more than 5 times as large.

    Covers construction, a step and the tables; what SciPy holds is not seen.
    """
    sizes = []
    for n in (150, 600):
        design = PlantedDesign(n, n, 8, 8, modalities={"visual": 6, "acoustic": 5})
        data = planted_data(design, tmp_path / str(n))
        config = tiny_config(name, *settings, "--train_batch_size=64", data=data)
        triples = [(user, user, 1 + user % 9) for user in range(1, 65)]
        with _Largest() as largest:
            model = build(config)
            model.train()
            model.start_epoch(0)
            model.calculate_loss(batch_of(model, triples)).backward()
            model.eval()
            model.tables()
        sizes.append(largest.size)
    assert sizes[1] < 5 * max(sizes[0], 150 * 6), sizes


@pytest.mark.parametrize("name", [name for name in SETTINGS if name not in _ORDERED])
def test_the_order_of_three_modalities_is_free(
    name: str, three: Path, tiny_config: MakeConfig
) -> None:
    before, after = ["visual", "acoustic", "textual"], ["textual", "visual", "acoustic"]
    first, second = (
        shaken(tiny_config(name, *SETTINGS[name], f"--modalities=[{','.join(order)}]", data=three))
        for order in (before, after)
    )
    second.load_state_dict(moved(first.state_dict(), before, after))
    torch.testing.assert_close(scores(first), scores(second))
    assert scores(first).std() > 0


@pytest.mark.parametrize("name", ["BM3", "FREEDOM", "GRCN", "LATTICE", "MGCN", "MICRO"])
def test_a_modality_of_zeros_is_left_out(
    name: str, three: Path, tiny_config: MakeConfig, tmp_path: Path
) -> None:
    """Also by a mask: rows of zeros are no features."""
    mask = {key: np.full(width, float(key != "acoustic")) for key, width in WIDTHS.items()}
    np.savez(tmp_path / "mask.npz", **mask)
    names, rest = list(WIDTHS), ["visual", "textual"]
    masked, without = (
        shaken(tiny_config(name, *SETTINGS[name], *more, data=three))
        for more in (
            (f"--modalities=[{','.join(names)}]", f"--feature_mask={tmp_path / 'mask.npz'}"),
            (f"--modalities=[{','.join(rest)}]",),
        )
    )
    without.load_state_dict(moved(masked.state_dict(), names, rest))
    torch.testing.assert_close(scores(masked), scores(without))


@pytest.mark.parametrize("name", ["BM3", "FREEDOM", "LATTICE", "MGCN", "MICRO"])
def test_a_modality_of_zeros_is_left_out_of_the_loss(
    name: str, three: Path, tiny_config: MakeConfig, tmp_path: Path
) -> None:
    """Also where it was one of two, which leaves nothing to contrast."""
    np.savez(tmp_path / "mask.npz", visual=np.ones(7), acoustic=np.zeros(9))
    words, mask = SETTINGS[name], f"--feature_mask={tmp_path / 'mask.npz'}"
    masked = shaken(tiny_config(name, *words, "--modalities=[visual,acoustic]", mask, data=three))
    without = shaken(tiny_config(name, *words, "--modalities=[visual]", data=three))
    without.load_state_dict(moved(masked.state_dict(), ["visual", "acoustic"], ["visual"]))
    one, other = (model.train().calculate_loss(batch_of(model)) for model in (masked, without))
    torch.testing.assert_close(one, other)


@pytest.mark.parametrize("name", [*SETTINGS, "ContentEASE", "UltraGCN", "VBPR"])
def test_no_items_have_no_content_vectors(name: str, three: Path, tiny_config: MakeConfig) -> None:
    """``recommend`` asks for them to learn whether a model has any."""
    model = build(tiny_config(name, *SETTINGS.get(name, ()), data=three))
    found = content_vectors(model, model.features[:0])
    assert found is None or (len(found) == 0 and found.shape[1] == model.tables()[1].shape[1])


@pytest.mark.parametrize("name", SETTINGS)
def test_trained_features_stay_under_the_mask(
    name: str, three: Path, tiny_config: MakeConfig, tmp_path: Path
) -> None:
    source = np.random.default_rng(1)
    parts = {key: source.random(width) * (np.arange(width) % 2) for key, width in WIDTHS.items()}
    np.savez(tmp_path / "mask.npz", **parts)
    words = (*SETTINGS[name], f"--feature_mask={tmp_path / 'mask.npz'}")
    words = (*words, "--modalities=[visual,acoustic,textual]")
    trained = build(tiny_config(name, *words, "--train_features=True", data=three))
    kept = build(tiny_config(name, *words, "--train_features=False", data=three))
    torch.testing.assert_close(scores(trained), scores(kept))
    losses = []
    for model in (trained, kept):
        model.train()
        model.start_epoch(0)
        losses.append(model.calculate_loss(batch_of(model)))
    torch.testing.assert_close(*losses)
    losses[0].backward()
    gradient = trained.feature_table.grad
    masked = torch.from_numpy(np.concatenate([parts[key] == 0 for key in WIDTHS]))
    assert gradient[:, ~masked].any() and not gradient[:, masked].any()


@pytest.mark.parametrize("name", ["EliMRec", "LGMRec", "SLMRec"])
def test_constant_features_are_propagated_once(
    name: str, three: Path, tiny_config: MakeConfig
) -> None:
    words = (*SETTINGS[name], "--modalities=[visual,acoustic,textual]")
    model = build(tiny_config(name, *words, data=three))
    widths: list[int] = []
    model.to_users.register_forward_hook(lambda _, tables, __: widths.append(tables[0].shape[1]))
    for _ in range(2):
        scores(model)
        model.train().calculate_loss(batch_of(model))
    first = sum(width > 6 for width in widths)
    model.features[1] = 0
    model.forget_tables()
    scores(model)
    assert first and sum(width > 6 for width in widths) == 2 * first
    before = scores(model)
    torch.testing.assert_close(scores(as_double(model)).float(), before, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "more"),
    [
        *(("BM3", ()), ("FREEDOM", ("--pruned_fraction=0.5",)), ("LGMRec", ())),
        *(("LATTICE", ("--backbone=ngcf", "--backbone_dropout=0.3")), ("MICRO", ())),
        *(("SLMRec", ("--ssl_task=FD",)), ("SLMRec", ("--ssl_task=FM",))),
    ],
)
def test_draws_of_an_epoch(name: str, more: tuple[str, ...], tiny_config: MakeConfig) -> None:
    """They follow from seed and epoch alone, so that a resumed run has the same."""
    more = ("--contrast_items=20",) if name == "MICRO" else more
    model = build(tiny_config(name, *SETTINGS[name], *more)).train()

    def losses(epoch: int) -> list[float]:
        model.start_epoch(epoch)
        return [model.calculate_loss(batch_of(model)).item() for _ in range(6)]

    first = losses(3)
    assert (len(set(first)) > 1) == (name not in ("FREEDOM",))
    assert losses(4) != first
    assert losses(3) == first


@pytest.mark.parametrize("name", ["BM3", "FREEDOM", "LATTICE", "MGCN", "MICRO"])
def test_released_trains_the_features(name: str, tiny_config: MakeConfig) -> None:
    assert build(tiny_config(name, "--preset=released")).feature_table.requires_grad


@pytest.mark.parametrize("name", ["BM3", "DualGNN", "GRCN", "SLMRec"])
def test_content_vectors_follow_what_an_item_has(
    name: str, tiny_config: MakeConfig, tmp_path: Path
) -> None:
    """Whatever fills the rows that are missing."""
    data = data_with_gaps(tmp_path / "gaps")
    filled, empty = (
        build(tiny_config(name, *SETTINGS[name], f"--missing_modality={rule}", data=data))
        for rule in ("mean", "zero")
    )
    assert not torch.equal(filled.features, empty.features)
    found = content_vectors(filled, filled.features, filled.has_row)
    torch.testing.assert_close(found, content_vectors(empty, empty.features, empty.has_row))


@pytest.mark.parametrize("name", SETTINGS)
def test_what_fills_a_missing_row_has_no_effect(
    name: str, tiny_config: MakeConfig, tmp_path: Path
) -> None:
    data = data_with_gaps(tmp_path / "gaps")
    filled, empty = (
        shaken(tiny_config(name, *SETTINGS[name], f"--missing_modality={rule}", data=data))
        for rule in ("mean", "zero")
    )
    torch.testing.assert_close(scores(filled), scores(empty))
    one, other = (model.train().calculate_loss(batch_of(model)) for model in (filled, empty))
    torch.testing.assert_close(one, other)


@pytest.mark.parametrize("name", ["FREEDOM", "DRAGON"])
def test_a_released_run_says_which_weights_it_lacks(
    name: str, three: Path, tiny_config: MakeConfig, caplog: pytest.LogCaptureFixture
) -> None:
    """The suggested setting is accepted and ends the warning; other names have none."""
    words = (*SETTINGS[name], "--preset=released")
    both = (*words, "--modalities=[visual,textual]")
    build(tiny_config(name, *both, data=three))
    assert len(caplog.messages) == 1
    suggested = caplog.messages[0].rpartition(" --")[2].replace("'", "")
    caplog.clear()
    model = build(tiny_config(name, *both, f"--{suggested}", data=three))
    assert model.settings.modality_weights == {"visual": 0.1, "textual": 0.9}
    build(tiny_config(name, *words, data=three))
    build(tiny_config(name, *both, "--preset=~", data=three))
    assert not caplog.messages


MODELS = [
    "PaInvRL", "VBPR", "MMGCN", "BM3", "LATTICE", "MICRO", "MGCN", "GRCN", "DualGNN",
    "DRAGON", "LGMRec", "SLMRec", "EliMRec", "MGAT",
]  # fmt: skip


@pytest.mark.parametrize("model", MODELS)
def test_the_losses_are_those_of_single_precision(
    model: str, tiny_data: Path, tmp_path: Path
) -> None:
    # Of BM3's losses the features' has vectors in half precision on both sides.
    stages, losses = {"PaInvRL": SHORT_STAGES, "BM3": ("--content_weight=2",)}.get(model, ()), []
    for amp in (False, True):
        words = (model, *stages, "--epochs=1", f"--enable_amp={amp}")
        run = run_main(tiny_data, tmp_path, *words, name=str(amp))
        assert run.code == 0, run.err
        epochs = [one for stage in run.result["stages"] for one in stage.get("history", [])]
        losses.append([one["loss"] for one in epochs if "loss" in one])
    # Vectors in bfloat16 have 8 bits; a loss rounded to them would be off by up to 4e-3.
    assert losses[1] == pytest.approx(losses[0], rel=3e-4)
    assert losses[1] != losses[0]
