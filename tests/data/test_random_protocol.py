"""The protocol ``random`` and what decides by time: RecBole's splits, compared in 64 bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import MakeConfig, write_inter

from recbole_painvrl.data.dataset import ModalityDataset
from recbole_painvrl.data.splits.base import TEST, TRAIN, VALID
from recbole_painvrl.data.splits.random import split_kind, time_based_rows
from recbole_painvrl.errors import UserError

N_USERS, N_ITEMS, PER_USER = 30, 40, 10
HALF = (0.5, 0.25, 0.25)
# In float32 the seconds of today are 128 apart.
START = 1_600_000_000


def time_of(user: int, position: int) -> int:
    return START + 61 * user + position


def item_of(user: int, position: int) -> int:
    return (user * 7 + position * 3) % N_ITEMS


@pytest.fixture
def timed(tmp_path: Path) -> Path:
    """Folder of a dataset ``t``, written newest first, one second between a user's rows."""
    rows = [
        f"u{user}\ti{item_of(user, position)}\t{1 + position % 5}\t{time_of(user, position)}"
        for user in range(N_USERS)
        for position in reversed(range(PER_USER))
    ]
    header = "user_id:token\titem_id:token\trating:float\ttimestamp:float"
    return write_inter(tmp_path / "data", "t", header, rows)


@pytest.fixture
def build(timed: Path, tiny_config: MakeConfig) -> Any:
    def make(*argv: str) -> ModalityDataset:
        return ModalityDataset(tiny_config("BPR", "--dataset=t", *argv, data=timed))

    return make


def positions(split: Any) -> dict[int, list[int]]:
    """Place in their user's history of the rows of a split, by user."""
    found: dict[int, list[int]] = {}
    users = split.id2token("user_id", split.inter_feat["user_id"])
    items = split.id2token("item_id", split.inter_feat["item_id"])
    for user, item in zip(users, items, strict=True):
        number = int(user[1:])
        by_item = {item_of(number, place): place for place in range(PER_USER)}
        found.setdefault(number, []).append(by_item[int(item[1:])])
    return found


def test_leave_one_out_takes_the_latest(build: Any) -> None:
    parts = build("--eval_args={split: {LS: valid_and_test}, order: TO}").build_parts()
    everyone = range(N_USERS)
    assert positions(parts[TEST]) == {user: [PER_USER - 1] for user in everyone}
    assert positions(parts[VALID]) == {user: [PER_USER - 2] for user in everyone}


def test_fractions_in_order_of_time(build: Any) -> None:
    parts = build("--eval_args={split: {RS: [0.7, 0.1, 0.2]}, order: TO}").build_parts()
    for user, places in positions(parts[TRAIN]).items():
        assert places == list(range(7)), user
    assert all(places == [8, 9] for places in positions(parts[TEST]).values())


@pytest.mark.parametrize("order", ["RO", "TO"])
def test_one_moment_for_all_users(order: str, build: Any) -> None:
    dataset = build(f"--eval_args={{split: {{TS: [0.8, 0.1, 0.1]}}, order: {order}}}")
    parts = dataset.build_parts()
    times = np.array([time_of(u, p) for u in range(N_USERS) for p in range(PER_USER)])
    moment = np.percentile(times, 90)
    for user in range(N_USERS):
        late = [p for p in range(PER_USER) if time_of(user, p) > moment]
        early = [p for p in range(PER_USER) if time_of(user, p) <= moment]
        cut = int(len(early) * (0.8 / (1 - 0.1)))
        assert sorted(positions(parts[TEST]).get(user, [])) == late
        assert sorted(positions(parts[TRAIN]).get(user, [])) == early[:cut]
        assert sorted(positions(parts[VALID]).get(user, [])) == early[cut:]


@pytest.mark.parametrize("argument", ["--protocol=time", "--eval_args={order: TO}",
                                      "--eval_args={split: {TS: [0.8, 0.1, 0.1]}}"])  # fmt: skip
def test_times_that_are_missing(argument: str, build: Any, timed: Path) -> None:
    path = timed / "t" / "t.inter"
    lines = path.read_text().splitlines()
    emptied = [line.rpartition("\t")[0] + "\t" for line in lines[1:4]]
    path.write_text("\n".join([lines[0], *emptied, *lines[4:]]) + "\n")
    with pytest.raises(UserError, match="3 of 300 interactions have no `timestamp`"):
        build(argument)


def test_the_time_protocol_holds_out_the_latest(build: Any, timed: Path) -> None:
    path = timed / "t" / "t.inter"
    header, *rows = path.read_text().splitlines()
    # Distinct seconds, every user early and late.
    stamps = START + np.random.default_rng(0).permutation(len(rows))
    cells = [row.split("\t")[:3] for row in rows]
    path.write_text(
        "\n".join([header, *("\t".join([*c, str(t)]) for c, t in zip(cells, stamps, strict=True))])
    )
    when = {(c[0], c[1]): t for c, t in zip(cells, stamps.tolist(), strict=True)}
    times: dict[str, list[int]] = {}
    for name, part in build("--protocol=time").build_parts().items():
        table = part.inter_feat
        users, items = (part.id2token(f, table[f]) for f in ("user_id", "item_id"))
        times[name] = [when[pair] for pair in zip(users, items, strict=True)]
    assert sum(map(len, times.values())) == len(rows)
    assert max(max(times[name]) for name in (TRAIN, VALID, TEST)) == START + 239
    assert min(times["ood"] + times["ood_valid"]) == START + 240


@pytest.mark.parametrize(("keep", "kept"), [("first", 1), ("last", 3)])
def test_repeated_pairs_in_order_of_time(keep: str, kept: int, build: Any, timed: Path) -> None:
    path = timed / "t" / "t.inter"
    # Two rows more of one pair, one second before and after it, below and above it in the file.
    lines = path.read_text().splitlines()
    pair = f"u0\ti{item_of(0, 5)}"
    before, after = (f"{pair}\t{n}\t{time_of(0, 5) + n - 2}" for n in (1, 3))
    path.write_text("\n".join([lines[0], after, *lines[1:], before]) + "\n")
    dataset = build(f"--rm_dup_inter={keep}", "--load_col={inter: [user_id, item_id, rating]}")
    table, user = dataset.inter_feat, dataset.token2id("user_id", "u0")
    item = dataset.token2id("item_id", f"i{item_of(0, 5)}")
    rows = table[(table["user_id"] == user) & (table["item_id"] == item)]
    assert rows["rating"].tolist() == [kept]


@pytest.mark.parametrize("how", ["missing", "text"])
def test_repeated_pairs_need_times_that_are_numbers(how: str, build: Any, timed: Path) -> None:
    path = timed / "t" / "t.inter"
    header, *rows = path.read_text().splitlines()
    if how == "missing":
        rows[0] = rows[0].rpartition("\t")[0] + "\t"
    else:
        header = header.replace("timestamp:float", "timestamp:token")
    path.write_text("\n".join([header, *rows]) + "\n")
    with pytest.raises(UserError, match="`rm_dup_inter`"):
        build("--rm_dup_inter=last")


def test_items_without_a_row_are_said(build: Any, timed: Path, caplog: Any) -> None:
    """RecBole drops interactions of items that the item file lacks, without a word."""
    known = range(N_ITEMS // 2)
    (timed / "t" / "t.item").write_text("item_id:token\n" + "".join(f"i{n}\n" for n in known))
    lost = sum(item_of(u, p) not in known for u in range(N_USERS) for p in range(PER_USER))
    with caplog.at_level("WARNING", logger="recbole_painvrl"):
        dataset = build("--load_col=~")
    assert dataset.inter_num == N_USERS * PER_USER - lost
    assert f"{lost} of {N_USERS * PER_USER} interactions were dropped" in caplog.text


def test_one_id_in_files_with_and_without_quoting(build: Any, timed: Path) -> None:
    """Marks are text in all files of a dataset, or enclose cells in all that have some."""
    folder = timed / "t"
    header = "user_id:token\titem_id:token\n"
    (folder / "t.train.inter").write_text(header + 'u1\t"Heroes"\nu2\t5"\nu1\tx\nu2\t"Heroes"\n')
    (folder / "t.test.inter").write_text(header + 'u2\tx\nu3\t"Heroes"\n')
    dataset = build("--protocol=files", "--validation_share=0")
    assert set(dataset.field2token_id["item_id"]) == {"[PAD]", '"Heroes"', '5"', "x"}


def test_columns_beside_the_default(build: Any, timed: Path) -> None:
    """The default of `load_col` follows the names of the ids, and gives way to `unload_col`."""
    dataset = build("--unload_col={inter: [rating]}")
    assert set(dataset.inter_feat) == {"user_id", "item_id", "timestamp"}
    path = timed / "t" / "t.inter"
    path.write_text(path.read_text().replace("user_id", "uid").replace("item_id", "iid"))
    assert build("--USER_ID_FIELD=uid", "--ITEM_ID_FIELD=iid").inter_num == N_USERS * PER_USER


def test_a_second_split_is_the_first(build: Any) -> None:
    """RecBole's functions on a loaded run split again; shuffled anew, tests would leak."""
    dataset = build()
    first = {name: positions(part) for name, part in dataset.build_parts().items()}
    again = dict(zip((TRAIN, VALID, TEST), map(positions, dataset.build()), strict=True))
    assert again == first


def test_cold_rows_are_counted(build: Any, timed: Path) -> None:
    path = timed / "t" / "t.inter"
    path.write_text(path.read_text() + "".join(f"u{u}\tnew{u}\t1\t{START}\n" for u in range(20)))
    dataset = build()
    parts = dataset.build_parts()
    known = set(parts[TRAIN].inter_feat["item_id"].tolist())
    cold = {
        name: sum(item not in known for item in parts[name].inter_feat["item_id"].tolist())
        for name in (VALID, TEST)
    }
    assert sum(cold.values()) > 0
    assert dataset.split_diagnostics["cold_kept"] == cold


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--val_interval={rating: '[3,inf)'}", ""),
        ("--val_interval={ratin: '[3,inf)'}", "needs a column `ratin`.*did you mean `rating`"),
        ("--val_interval={rating: [3, 4]}", "`val_interval: rating`.*interval in quotes"),
        ("--val_interval={user_id: '[3,inf)'}", "`val_interval: user_id`.*a list of values"),
        ("--load_col={inter: [user_id, item_id, ratin]}", "`ratin`.*did you mean `rating`"),
        ("--unload_col={inter: [ratin]}", "`unload_col`.*`ratin`"),
    ],
)
def test_columns_that_settings_name(argument: str, message: str, build: Any) -> None:
    argv = [argument] + ["--load_col=~"] * argument.startswith("--unload_col")
    if message:
        with pytest.raises(UserError, match=message):
            build(*argv)
    else:
        # A rating is position % 5 + 1: of ten rows of a user six are at least 3.
        assert build(*argv).inter_num == 6 * N_USERS


def test_ids_in_a_filter_are_text(build: Any, timed: Path) -> None:
    path = timed / "t" / "t.inter"
    header, rows = path.read_text().split("\n", 1)
    path.write_text(f"{header}\n" + rows.replace("\ti", "\t"))
    assert build("--val_interval={item_id: [0, 3]}").inter_num == sum(
        item_of(user, position) in (0, 3) for user in range(N_USERS) for position in range(PER_USER)
    )


def test_a_repeated_pair_stays_if_one_of_its_rows_is_in_the_interval(
    build: Any, timed: Path
) -> None:
    path = timed / "t" / "t.inter"
    lines = path.read_text().splitlines()
    expected = build("--val_interval={rating: '[3,inf)'}").inter_num
    # Before the first row of every pair one whose rating is outside.
    again = ["\t".join([*line.split("\t")[:2], "1", line.split("\t")[3]]) for line in lines[1:]]
    path.write_text("\n".join([lines[0], *again, *lines[1:]]) + "\n")
    assert build("--val_interval={rating: '[3,inf)'}").inter_num == expected
    # RecBole's order, where the user asked for its removal of repeated pairs.
    assert build("--val_interval={rating: '[2,inf)'}", "--rm_dup_inter=last").inter_num > 0


def test_ids_that_yaml_1_1_reads_as_other_numbers_are_text(build: Any, timed: Path) -> None:
    path = timed / "t" / "t.inter"
    text = path.read_text()
    path.write_text(text.replace("\ti0\t", "\t011\t").replace("\ti3\t", "\t1:30\t"))
    expected = sum(
        item_of(user, position) in (0, 3) for user in range(N_USERS) for position in range(PER_USER)
    )
    assert build("--val_interval={item_id: [011, 1:30]}").inter_num == expected
    with pytest.raises(UserError, match=r"found \[1\.5\].*each text or an integer"):
        build("--val_interval={item_id: [1.50]}")


def test_a_filter_by_a_column_of_two_files_is_refused(build: Any, timed: Path) -> None:
    rows = "".join(f"i{item}\t{item % 5}\n" for item in range(N_ITEMS))
    (timed / "t" / "t.item").write_text("item_id:token\trating:float\n" + rows)
    with pytest.raises(UserError, match=r"the column `rating` in t\.inter and t\.item"):
        build("--val_interval={rating: '[3,inf)'}", "--load_col=~")


def test_the_moment_itself_is_not_late() -> None:
    """The 75th percentile of 0 to 4 is 3."""
    times = np.arange(5.0)
    train, valid, test = time_based_rows(np.ones(5, dtype=np.int64), times, HALF)
    assert (train.tolist(), valid.tolist(), test.tolist()) == ([0, 1], [2, 3], [4])


@pytest.mark.parametrize(("n", "ratios"), [(5, (0.6, 0.2, 0.2)), (10, (7, 1, 2))])
def test_rounding_costs_no_training_row(n: int, ratios: tuple[float, float, float]) -> None:
    """0.6 / (1 - 0.2) is slightly less than 0.75 as a floating-point number."""
    sizes = map(len, time_based_rows(np.ones(n, dtype=np.int64), np.arange(float(n)), ratios))
    assert tuple(sizes) == tuple(round(n * one / sum(ratios)) for one in ratios)


def test_ratios_may_have_any_sum_and_ties_keep_table_order() -> None:
    users, times = np.ones(9, dtype=np.int64), np.array([0.0] * 6 + [1.0] * 2 + [2.0])
    for ratios in (HALF, (2, 1, 1)):
        train, valid, test = time_based_rows(users, times, ratios)
        assert (train.tolist(), valid.tolist(), test.tolist()) == ([0, 1, 2, 3, 4], [5, 6, 7], [8])


def test_two_ratios_are_training_and_test() -> None:
    assert split_kind({"TS": [0.8, 0.2]}) == ("TS", [0.8, 0, 0.2])
    assert split_kind({"RS": [0.8, 0.2], "LS": None}) == ("RS", [0.8, 0, 0.2])
    assert split_kind({"RS": [8, 1, 1]}) == ("RS", [8, 1, 1])
    assert split_kind({"LS": "valid_and_test"}) == ("LS", "valid_and_test")
    for wrong in ({"XS": [0.8, 0.2]}, {"RS": [1, 1], "TS": [1, 1]}, {"RS": None}):
        with pytest.raises(ValueError, match=r"no split|unpack"):
            split_kind(wrong)
