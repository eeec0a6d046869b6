"""Figures that others published, and the runs to compare with them (docs/reproduction.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

Range = tuple[float, float]


@dataclass(frozen=True)
class Experiment:
    """One published result and how it is run here.

    Attributes:
        name: of the row, and of its run folders.
        dataset: folder under ``--data``.
        settings: arguments of the run, without data and seed.
        metrics: of the table.
        published: metric -> lowest and highest published figure; empty where nobody published.
        source: who published it.
        tolerance: metric points around the published range that still count as equal.
        grid: settings tried with seed 0; the best on validation is run with the other seeds.
        refit: after the epoch is chosen on a validation part, train again on all training data.
        at_epoch: published best epoch, shown beside the chosen one.
        compare: names of the ID-only forms this must not fall below.
        all_pairs: the published metrics count test pairs whose user or item training does not have
            as misses; here these are left out, and the metrics of the others scaled to all. Exact
            where every user has one test pair.
        seeds: seeds of its own, where the published run has one.
    """

    name: str
    dataset: str
    settings: str
    metrics: tuple[str, ...]
    published: Mapping[str, Range] = field(default_factory=dict)
    source: str = ""
    tolerance: float = 0.0
    grid: Mapping[str, tuple[object, ...]] = field(default_factory=dict)
    refit: bool = False
    at_epoch: int | None = None
    compare: tuple[str, ...] = ()
    all_pairs: bool = False
    seeds: tuple[int, ...] | None = None


# The figures of docs/reproduction.md were made with RecBole's own random sequence of negatives.
_LOADER = "--fast_loader=False"
_VBPR = f"--model=VBPR {_LOADER} --epochs=300 --stopping_step=10"
_ALL = "--modalities=[visual,acoustic,textual]"
_VILLA = "ViLLA-MMBench, same split"

# RecBole draws the split from the seed, so another seed is also another split.
_BPR = Experiment(
    "BPR ml-100k",
    "ml-100k",
    f"--model=BPR {_LOADER} --metrics=[Recall,MRR,NDCG,Hit,Precision] --valid_metric=MRR@10",
    ("recall@10", "mrr@10", "ndcg@10", "hit@10", "precision@10"),
    {
        "recall@10": (0.2523, 0.2523),
        "mrr@10": (0.4855, 0.4855),
        "ndcg@10": (0.2920, 0.2920),
        "hit@10": (0.7953, 0.7953),
        "precision@10": (0.1962, 0.1962),
    },
    "RecBole's documentation, one run with seed 2020",
    0.01,
)
_ELECTRONICS = Experiment(
    "UltraGCN electronics",
    "electronics",
    "--model=UltraGCN --preset=electronics",
    ("recall@20", "ndcg@20"),
    {"recall@20": (0.1368, 0.1378), "ndcg@20": (0.0815, 0.0843)},
    "UltraGCN's release, epoch chosen on the test set",
    0.002,
    refit=True,
    at_epoch=310,
)


def _trailers(
    name: str,
    settings: str,
    published: tuple[Range, Range] | None = None,
    compare: tuple[str, ...] = (),
    **options: object,
) -> Experiment:
    """A run on ml-trailers; published are Recall@10 and NDCG@10 of ViLLA-MMBench."""
    metrics = ("recall@10", "ndcg@10")
    found = dict(zip(metrics, published, strict=True)) if published else {}
    names = tuple(f"{one} ml-trailers" for one in compare)
    one = Experiment(f"{name} ml-trailers", "ml-trailers", settings, metrics, found, compare=names)
    return replace(one, source=_VILLA if published else "", **options)  # type: ignore[arg-type]


def _tiktok(
    name: str,
    settings: str,
    published: tuple[float, float] | None,
    compare: tuple[str, ...] = (),
    **options: object,
) -> Experiment:
    """A run on tiktok; published are Recall@20 and NDCG@20 of the MMSSL and DiffMM papers."""
    metrics = ("recall@20", "ndcg@20")
    found = {m: (v, v) for m, v in zip(metrics, published, strict=True)} if published else {}
    one = Experiment(
        f"{name} tiktok",
        "tiktok",
        f"{settings} --topk=[20] --metrics=[Recall,NDCG] --valid_metric=Recall@20",
        metrics,
        found,
        "MMSSL/DiffMM tables, with text features, epoch chosen on the test set" if found else "",
        0.002,
        compare=tuple(f"{one} tiktok" for one in compare),
        all_pairs=True,
    )
    return replace(one, **options)  # type: ignore[arg-type]


_IDS = ("UltraGCN ids", "UltraGCN ids, preset large")
_STEPS = "--train_batch_size=4096 --learning_rate=4e-3 --stopping_step=5"
EXPERIMENTS = (
    _ELECTRONICS,
    replace(_BPR, name="BPR ml-100k, RecBole's seed", seeds=(2020,)),
    _BPR,
    _trailers(
        "TopPop",
        "--model=Pop --modalities=[] --epochs=1 --validation_share=0",
        ((0.126, 0.126), (0.210, 0.210)),
        tolerance=0.0005,
    ),
    *(
        _trailers(f"VBPR {name}", f"{_VBPR} {columns}", published, ("VBPR ids",), refit=True)
        for name, columns, published in (
            ("text", "--modalities=[textual]", ((0.224, 0.241), (0.339, 0.362))),
            ("visual", "--modalities=[visual]", ((0.202, 0.202), (0.236, 0.236))),
            ("audio", "--modalities=[acoustic]", ((0.230, 0.230), (0.329, 0.329))),
            ("all", _ALL, None),
        )
    ),
    _trailers("VBPR ids", f"{_VBPR} --modalities=[]", refit=True),
    _trailers("UltraGCN ids", f"--model=UltraGCN {_STEPS} --modalities=[]", refit=True),
    _trailers(
        "UltraGCN features",
        f"--model=UltraGCN {_STEPS} {_ALL}",
        compare=("UltraGCN ids",),
        grid={"projection_reg_weight": (0.3, 3.0, 10.0)},
        refit=True,
    ),
    _trailers(
        "LightGCN",
        f"--model=LightGCN {_LOADER} --modalities=[] --n_layers=2 --train_batch_size=8192 "
        "--learning_rate=4e-3 --stopping_step=5",
    ),
    _trailers("UltraGCN ids, preset large", "--model=UltraGCN --preset=large --modalities=[]"),
    _trailers("PaInvRL", f"--model=PaInvRL --preset=large {_ALL}", compare=_IDS),
    _trailers("InvRL", f"--model=InvRL --preset=large {_ALL}", compare=_IDS),
    _trailers(
        "MMGCN",
        f"--model=MMGCN {_LOADER} --train_batch_size=8192 --stopping_step=5 {_ALL}",
        compare=("LightGCN",),
        grid={"learning_rate": (3e-3, 1e-2), "num_layers": (1, 3)},
    ),
    # Scaled by rows, as by default, the training does not settle on these dense data.
    _trailers(
        "MMSSL",
        f"--model=MMSSL --graph_norm=symmetric --learning_rate=3e-3 --stopping_step=5 {_ALL}",
        compare=("LightGCN",),
        seeds=(0,),
    ),
    _tiktok(
        "Pop",
        "--model=Pop --modalities=[] --epochs=1",
        (0.0597, 0.0255),
        source="counted from the published lists",
        tolerance=0.0005,
    ),
    _tiktok(
        "LightGCN",
        f"--model=LightGCN {_LOADER} --modalities=[] --n_layers=2 --stopping_step=20",
        (0.0653, 0.0282),
        grid={"reg_weight": (1e-5, 1e-3)},
    ),
    _tiktok(
        "NGCF",
        f"--model=NGCF {_LOADER} --modalities=[] --stopping_step=20",
        (0.0604, 0.0238),
        grid={"reg_weight": (1e-5, 1e-3)},
    ),
    _tiktok(
        "VBPR",
        _VBPR,
        (0.0380, 0.0134),
        ("VBPR ids",),
        grid={
            "learning_rate": (1e-3, 1e-2),
            "reg_weight": (0.1, 10.0),
            "projection_reg_weight": (0.03, 0.3, 3.0),
        },
    ),
    _tiktok(
        "VBPR ids",
        f"{_VBPR} --modalities=[]",
        None,
        grid={"learning_rate": (1e-3, 1e-2), "reg_weight": (0.1, 10.0)},
    ),
    _tiktok(
        "MMGCN",
        f"--model=MMGCN {_LOADER} --stopping_step=10",
        (0.0730, 0.0307),
        ("LightGCN",),
        grid={"learning_rate": (1e-4, 1e-3, 3e-3)},
    ),
)
