"""Equality with the CPU, speed and memory on an NVIDIA GPU.

    python -m benchmarks.gpu                   everything
    python -m benchmarks.gpu --quick           small shapes, to try it
    python -m benchmarks.gpu --parts equality --models PaInvRL,FREEDOM

``equality``: every model trains two epochs on planted data on the CPU and on the GPU, with the same
random numbers, and the losses of all stages and epochs are compared; above ``--tolerance`` the
exit code is 1. ``stages``: steps of the three stages on the CPU, on the GPU, and in the published
structure (``benchmarks/reference.py``) on the GPU, in ms per 1,000 interactions. ``share of peak``:
operations of the step by its time, against those of a large matrix product (PyTorch counts
products only). ``copies``: transfers between host and device in a step. Without a GPU one line
says so and nothing is measured.
"""

from __future__ import annotations

import logging
import math
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.common import alternately, command_line, machine_facts, print_table
from benchmarks.steps import (
    SHAPES,
    RandomData,
    Step,
    Steps,
    environment_steps,
    mask_steps,
    recommender_steps,
)
from recbole_painvrl.config import config_from_arguments
from recbole_painvrl.data.folder import write_dataset
from recbole_painvrl.data.planted import PlantedDesign, generate_planted
from recbole_painvrl.run.runner import run
from recbole_painvrl.specs import specs

_EQUALITY = ("model", "losses", "largest relative difference", "within", "CPU, s", "GPU, s")
_STAGES = (
    *("step", "CPU", "GPU", "reference on GPU", "CPU / GPU", "reference / GPU"),
    *("share of peak", "GPU memory, MB", "copies"),
)


class SameDraws(TorchFunctionMode):
    """Replace draws from a generator on a GPU by draws from a CPU generator with the same seed.

    Inside this mode, a run on the GPU has the random numbers of the same run on the CPU.
    """

    def __init__(self) -> None:
        super().__init__()
        # The CPU generator of each, and the state that shows that it was not seeded since.
        self._twins: dict[torch.Generator, tuple[torch.Generator, Tensor]] = {}

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        """Call the function, or its form on the CPU and move the result."""
        given = dict(kwargs or {})
        source = given.get("generator")
        if source is None or source.device.type == "cpu":
            return func(*args, **given)
        given["generator"] = self._twin(source)
        if args and isinstance(args[0], Tensor):
            # In place, such as `bernoulli_`.
            drawn = func(torch.empty_like(args[0], device="cpu"), *args[1:], **given)
            return args[0].copy_(drawn)
        return func(*args, **{**given, "device": "cpu"}).to(source.device)

    def _twin(self, source: torch.Generator) -> torch.Generator:
        never = torch.empty(0, dtype=torch.uint8)
        twin, state = self._twins.get(source, (torch.Generator(), never))
        if not torch.equal(source.get_state(), state):
            twin.manual_seed(source.initial_seed())
        # The draw changes the state of the source, so that seeding it again can be seen.
        torch.rand((), generator=source, device=source.device)
        self._twins[source] = twin, source.get_state()
        return twin


def main(argv: list[str] | None = None) -> int:
    """Print the tables; 1 if a model's losses differ by more than the tolerance."""
    parser = command_line(__doc__)
    parser.add_argument("--quick", action="store_true", help="small shapes")
    parser.add_argument("--parts", nargs="+", choices=("equality", "stages"))
    parser.add_argument("--models", help="of equality, with commas between; all without")
    parser.add_argument("--shapes", nargs="+", choices=list(SHAPES), default=list(SHAPES))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--tolerance", type=float, default=1e-4)
    parser.add_argument("--device", default="cuda", help="compared with the CPU")
    given = parser.parse_args(argv)
    # RecBole reads the command line.
    sys.argv = sys.argv[:1]
    if given.device.startswith("cuda") and not torch.cuda.is_available():
        print("no GPU: PyTorch finds no CUDA device; nothing was compared or measured")
        return 0
    device = torch.device(given.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "none"
    print("\n".join([*machine_facts(), f"GPU: {name}", ""]), flush=True)
    parts = given.parts or ["equality", "stages"]
    missed: list[str] = []
    if "equality" in parts:
        models = given.models.split(",") if given.models else [*specs(), "BPR", "LightGCN"]
        print_table(_EQUALITY, equality(models, device, given.tolerance, missed))
    if "stages" in parts:
        print(f"\npeak of a product of matrices: {peak_flops(device) / 1e12:.2f} TFLOP/s\n")
        print_table(_STAGES, stages(given.shapes, given.quick, given.repeats, device))
    if missed:
        print(f"\nlosses on the GPU differ: {', '.join(missed)}", file=sys.stderr)
    return 1 if missed else 0


def equality(
    models: Sequence[str], device: torch.device, tolerance: float, missed: list[str]
) -> Iterator[tuple[str, ...]]:
    """Lines of the table of losses; models beyond the tolerance are added to ``missed``."""
    with tempfile.TemporaryDirectory() as folder:
        design = PlantedDesign(n_users=300, n_items=200)
        write_dataset(generate_planted(design, "planted"), Path(folder) / "planted")
        for model in models:
            cpu, seconds = _trained(model, Path(folder), False)
            with SameDraws():
                gpu, gpu_seconds = _trained(model, Path(folder), device.type == "cuda")
            difference = largest_difference(cpu, gpu)
            if not difference <= tolerance:
                missed.append(model)
            within = "yes" if difference <= tolerance else "NO"
            yield (
                *(model, str(len(cpu)), f"{difference:.1e}", within),
                *(f"{seconds:.1f}", f"{gpu_seconds:.1f}"),
            )


def largest_difference(one: Sequence[float], other: Sequence[float]) -> float:
    """Largest relative difference of losses; NaN if one is, infinite if the lengths differ."""
    if len(one) != len(other):
        return math.inf
    pairs = torch.tensor([one, other], dtype=torch.float64)
    differences = (pairs[0] - pairs[1]).abs() / pairs[0].abs().clamp(min=1e-12)
    return float(differences.max()) if len(one) else 0.0


def _trained(model: str, folder: Path, on_gpu: bool) -> tuple[list[float], float]:
    """Losses of all stages and epochs of a short run, and its seconds."""
    words = [
        *(f"--model={model}", "--dataset=planted", f"--data_path={folder}", "--epochs=2"),
        *(f"--use_gpu={on_gpu}", "--show_progress=False", f"--output_dir={folder / 'runs'}"),
    ]
    if getattr(getattr(specs().get(model), "model", None), "learns_mask", False):
        words += ["--backbone_epochs=2", "--mask_epochs=2", "--environment_restarts=1"]
    logging.disable(logging.INFO)
    try:
        start = time.perf_counter()
        result = run(config_from_arguments(words))
        return list(losses(result["stages"])), time.perf_counter() - start
    finally:
        logging.disable(logging.NOTSET)


def losses(entry: Any, name: str = "") -> Iterator[float]:
    """Every number of a stage that is called a loss, in order."""
    if isinstance(entry, Mapping):
        for key, value in entry.items():
            yield from losses(value, str(key))
    elif isinstance(entry, list):
        for value in entry:
            yield from losses(value, name)
    elif isinstance(entry, float) and name in ("loss", "l_erm", "l_irm", "likelihood"):
        yield entry


def stages(
    shapes: Sequence[str], quick: bool, repeats: int, device: torch.device
) -> Iterator[tuple[str, ...]]:
    """Lines of the table of steps."""
    peak = peak_flops(device)
    for name in shapes:
        shape = SHAPES[name].quick() if quick else SHAPES[name]
        for what, (ours, make) in _STEPS.items():
            # Only these two are kept, since the others would count as memory.
            made = itemgetter(ours, "reference")(make(RandomData(shape, device=str(device))))
            (own, n), (reference, n_reference) = made
            on_cpu, _ = make(RandomData(shape))[ours]
            waited = {"own": _waits(own, device), "reference": _waits(reference, device)}
            seconds = alternately(waited, repeats)
            cpu = alternately({"own": on_cpu}, max(1, repeats // 2))["own"] / n
            gpu, plain = seconds["own"] / n, seconds["reference"] / n_reference
            with FlopCounterMode(display=False) as counter:
                own()
            share = counter.get_total_flops() / seconds["own"] / peak
            yield (
                f"{name}: {what}",
                # Milliseconds per 1,000 interactions are 1e6 times seconds per interaction.
                *(f"{1e6 * value:.3g}" for value in (cpu, gpu, plain)),
                *(f"{cpu / gpu:.1f}", f"{plain / gpu:.1f}", f"{100 * share:.1f} %"),
                f"{_peak_mb(own):.0f}" if device.type == "cuda" else "-",
                str(copies(own)),
            )


# What is timed: the name of our step, and the function that makes it and the reference's.
_STEPS: dict[str, tuple[str, Callable[[RandomData], Steps]]] = {
    "environments": ("content", environment_steps),
    "mask": ("shared negatives", partial(mask_steps, with_attention=True)),
    "final model": ("ours", lambda data: recommender_steps(data, {"ours": data.shape.batch})),
}


def _waits(step: Step, device: torch.device) -> Step:
    """The step, wrapped so that it returns only when the device has finished it."""

    def waited() -> None:
        step()
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return waited


def peak_flops(device: torch.device) -> float:
    """Operations per second of a product of large float32 matrices, as the steps multiply."""
    n = 8192 if device.type == "cuda" else 1024
    a, b = torch.ones(n, n, device=device), torch.ones(n, n, device=device)
    seconds = alternately({"product": _waits(lambda: a @ b, device)}, 5)["product"]
    return 2 * n**3 / seconds


def _peak_mb(step: Step) -> float:
    torch.cuda.reset_peak_memory_stats()
    step()
    return torch.cuda.max_memory_allocated() / 2**20


def copies(step: Step) -> int:
    """Transfers between host and device in a step, as the profiler counts them."""
    activities = [ProfilerActivity.CPU]
    if torch.cuda.is_available():
        activities.append(ProfilerActivity.CUDA)
    with profile(activities=activities) as found:
        step()
    names = ("Memcpy HtoD", "Memcpy DtoH")
    return sum(event.count for event in found.key_averages() if event.key.startswith(names))


if __name__ == "__main__":
    sys.exit(main())
