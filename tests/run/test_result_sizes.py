"""The sizes of the data in ``result.json``, where a split leaves interactions out."""

from __future__ import annotations

from pathlib import Path

from support import run_main, write_inter


def test_sizes_of_the_table_and_of_the_splits(tmp_path: Path) -> None:
    """The users and items of the whole table stood beside the interactions that were kept."""
    rows = [f"u{n % 20}\ti{(n * 7 + n // 20) % 23}" for n in range(300)]
    later = ["u1\ti4", "late\ti1", "u3\tlate too"]
    data = write_inter(tmp_path / "data", "t", "user_id:token\titem_id:token", rows)
    for name, own in {"train": rows, "test": later}.items():
        text = "\n".join(["user_id:token\titem_id:token", *own]) + "\n"
        (data / "t" / f"t.{name}.inter").write_text(text)
    options = ("--dataset=t", "--protocol=files", "--topk=[5]", "--valid_metric=NDCG@5")
    done = run_main(data, tmp_path, "BPR", *options, name="r")
    assert done.code == 0, done.err
    found, split = done.result["data"], done.result["split"]
    assert split["cold_dropped"]["test"] == 2
    assert found["interactions"] == sum(split["sizes"].values())
    assert found["interactions_read"] == 303
    assert (found["users"], found["users_in_splits"]) == (21, 20)
    assert (found["items"], found["items_in_splits"]) == (24, 23)
    assert (
        "interactions_read"
        not in run_main(
            data, tmp_path, "BPR", *options[:1], "--topk=[5]", "--valid_metric=NDCG@5", name="all"
        ).result["data"]
    )
