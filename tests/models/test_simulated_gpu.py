"""Runs and commands on a simulated GPU: no tensor is on the wrong device, results are the CPU's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support import SHORT_STAGES, result_of, run_main
from torch.nn import functional as F

from benchmarks.gpu import largest_difference, losses
from recbole_painvrl.__main__ import main
from recbole_painvrl.testing.simulated_gpu import simulated_gpu

Call = Callable[[torch.Tensor, torch.Tensor], Any]


@pytest.mark.parametrize(
    "call",
    [
        lambda there, here: there + here,
        lambda there, here: here.index_select(0, there.argsort()),
        lambda there, here: here[there.argsort()],
        lambda there, here: torch.cat([there, here]),
        lambda there, here: torch.stack([there.sum(), here.sum()]),
        lambda there, here: there.clone().index_add_(0, here.argsort(), there),
        lambda there, here: F.embedding(here.argsort(), there[:, None]),
        lambda there, here: F.linear(there, here),
        lambda there, here: torch.nn.Linear(3, 3).to("cuda")(here),
        lambda there, here: torch.sparse.mm(torch.eye(3).to_sparse_coo(), there[:, None]),
        lambda there, here: here.__setitem__(there.argsort(), 1.0),
        lambda there, here: there.clone().__setitem__(there > 0, here[1:]),
        lambda there, here: there.index_put((there.argsort(),), here),
        lambda there, here: torch.tensor([there[0], there[1]]) + there[:2],
        lambda there, here: there.type_as(here) + there,
        lambda there, here: torch.zeros(()).add_(there.sum()),
        lambda there, here: torch.add(there.sum(), 1, out=torch.zeros(())),
        lambda there, here: there.numpy(),
        lambda there, here: torch.rand(3, device="cuda", generator=torch.Generator()),
        lambda there, here: here.clone().uniform_(generator=torch.Generator("cuda")),
    ],
)
def test_a_mix_of_devices_is_refused(call: Call) -> None:
    with simulated_gpu(), pytest.raises((RuntimeError, TypeError), match="devic"):
        call(torch.arange(3.0, device="cuda"), torch.arange(3.0))


@pytest.mark.filterwarnings("ignore:To copy construct", "ignore:Sparse")
@pytest.mark.parametrize(
    ("call", "on_gpu"),
    [
        (lambda there, here: there * here.sum(), True),
        (lambda there, here: there[here.argsort()], True),
        (lambda there, here: torch.zeros_like(there).copy_(here), True),
        (lambda there, here: here.to(there), True),
        (lambda there, here: here.type_as(there), True),
        (lambda there, here: there.to(0), True),
        (lambda there, here: here.cuda() + there, True),
        (lambda there, here: torch.nn.Linear(3, 3).cuda()(there), True),
        (lambda there, here: here.clone().fill_(there.sum()), False),
        (lambda there, here: there.view_as(here), True),
        (lambda there, here: there.new_tensor(here), True),
        (lambda there, here: here[there.argsort()[0]], False),
        (lambda there, here: torch.func.vmap(torch.sin)(there), True),
        (lambda there, here: torch.diag(there).to_sparse_csr().t(), True),
        (lambda there, here: there.cpu() + here, False),
        (lambda there, here: torch.nn.Linear(3, 3).to("cuda")(there), True),
        (lambda there, here: torch.eye(3, device="cuda").to_sparse_coo() @ there[:, None], True),
        (lambda there, here: torch.rand(3, generator=torch.Generator()).to("cuda") + there, True),
    ],
)
def test_what_a_gpu_allows(call: Call, on_gpu: bool) -> None:
    with simulated_gpu():
        assert call(torch.arange(3.0, device="cuda"), torch.arange(3.0)).is_cuda == on_gpu


def test_slices_and_places_take_numbers_of_the_cpu() -> None:
    with simulated_gpu():
        there, here = torch.zeros(3, device="cuda"), torch.ones(3)
        there[:2] = here[:2]
        there[here.argsort()[2:]] = here.sum()
        assert there.cpu().tolist() == [1, 1, 3]


def test_what_a_tensor_on_the_gpu_is_made_of_stays_on_the_cpu() -> None:
    with simulated_gpu():
        indices, values = torch.tensor([[0, 1], [1, 0]]), torch.ones(2)
        made = torch.sparse_coo_tensor(
            indices, values, (2, 2), device="cuda", check_invariants=True
        )
        moved = values.type_as(torch.zeros(1, device="cuda"))
        assert made.is_cuda and moved.is_cuda
        assert not indices.is_cuda and not values.is_cuda


def test_an_optimiser_steps_where_pytorch_is_built_for_cuda(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It then asks the GPU whether its calls are being recorded."""
    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: True)
    with simulated_gpu():
        weight = torch.nn.Parameter(torch.ones(3, device="cuda"))
        optimiser = torch.optim.Adam([weight])
        weight.sum().backward()
        optimiser.step()
        assert bool((weight < 1).all())


def test_a_moved_tensor_has_memory_of_its_own() -> None:
    with simulated_gpu():
        here = torch.zeros(3)
        there = here.to("cuda")
        there += 1
        assert here.sum() == 0
        assert there.cpu().sum() == 3
        assert there.to("cuda") is there


@pytest.mark.parametrize("model", ["PaInvRL", "MMSSL", "LightGCN", "ContentEASE"])
def test_runs_and_rankings_are_those_of_the_cpu(
    model: str, tiny_data: Path, tmp_path: Path
) -> None:
    words = [*(SHORT_STAGES if model == "PaInvRL" else ()), "--epochs=1"]
    cpu = run_main(tiny_data, tmp_path, model, *words, name="cpu")
    with simulated_gpu():
        gpu = run_main(tiny_data, tmp_path, model, *words, "--use_gpu=True", name="gpu")
    assert (cpu.code, gpu.code) == (0, 0), gpu.err
    expected, found = (result_of(done.folder) for done in (cpu, gpu))
    assert (expected["device"], found["device"]) == ("cpu", "cuda")
    assert found["metrics"] == expected["metrics"]
    trained = [list(losses(result["stages"])) for result in (expected, found)]
    assert largest_difference(*trained) < 1e-5

    users = tmp_path / "users.csv"
    users.write_text("user_id,item_id\n" + "".join(f"a{n % 3},i{n}\n" for n in range(12)))
    for given in (["--users", "all"], ["--new-users", str(users)]):
        # The run of the GPU, opened on both.
        command = ["recommend", str(gpu.folder), *given, "--out"]
        with simulated_gpu():
            assert main([*command, "gpu.csv"]) == 0
        assert main([*command, "cpu.csv"]) == 0
        lists = [Path(f"{device}.csv") for device in ("gpu", "cpu")]
        assert lists[0].read_text() == lists[1].read_text()
        for path in lists:
            path.unlink()
