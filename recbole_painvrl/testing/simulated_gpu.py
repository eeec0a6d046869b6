"""A simulated GPU: CPU tensors that know on which device they would be.

Inside :func:`simulated_gpu` PyTorch reports one CUDA device. A tensor that is moved to it or made
on it stays in the CPU's memory, but counts as being on the GPU, and so do the results of all
operations on it. An operation that mixes the devices fails as it would on a GPU, so that code that
runs here, with the results of the CPU, has no tensor on the wrong device. Inside a backward pass
nothing is refused. Speed, memory, rounding and mixed precision of a real GPU, pinned memory,
streams, packed sequences, and ``torch.load`` onto a GPU are not simulated.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode

GPU, CPU = torch.device("cuda", 0), torch.device("cpu")

# What PyTorch answers about its GPUs.
_CUDA: dict[str, Any] = {
    "is_available": lambda: True,
    "device_count": lambda: 1,
    "is_initialized": lambda: True,
    "current_device": lambda: 0,
    "get_device_name": lambda *_: "simulated",
    "mem_get_info": lambda *_: (2**36, 2**36),
    "max_memory_allocated": lambda *_: 0,
    "reset_peak_memory_stats": lambda *_: None,
    "synchronize": lambda *_: None,
    "get_rng_state": lambda *_: torch.zeros(16, dtype=torch.uint8),
    "set_rng_state": lambda *_: None,
    "get_rng_state_all": lambda: [torch.zeros(16, dtype=torch.uint8)],
    "set_rng_state_all": lambda _: None,
    "manual_seed": lambda _: None,
    "manual_seed_all": lambda _: None,
    # Optimisers ask, in a PyTorch that is built for CUDA.
    "is_current_stream_capturing": lambda: False,
}
# Properties of a tensor that depend on its device.
_PROPERTIES: dict[str, Callable[[bool], Any]] = {
    "device": lambda on_gpu: GPU if on_gpu else CPU,
    "is_cuda": lambda on_gpu: on_gpu,
    "is_cpu": lambda on_gpu: not on_gpu,
}
# Functions that PyTorch lets mix the devices.
_MIXING = {
    *("copy_", "fill_", "__set__", "backward", "grad", "tensor", "new_tensor"),
    # Of the second tensor these take the shape alone.
    *("view_as", "reshape_as", "expand_as"),
    *("sparse_coo_tensor", "sparse_csr_tensor", "_has_compatible_shallow_copy_type"),
    "_group_tensors_by_device_and_dtype",
}
# Functions that move their first argument.
_MOVING = {"to", "cpu", "cuda", "as_tensor", "type_as"}
_INDEXING = {"__getitem__", "__setitem__", "index_put", "index_put_"}
# Those that refuse even a number that is a tensor on the CPU.
_WITHOUT_NUMBERS = {"cat", "stack", "mm", "matmul", "__matmul__", "index_select", "gather"}
# Results that are on the device of the first tensor, whatever the others are on.
_OF_THE_FIRST = {
    *_INDEXING,
    *("copy_", "fill_", "view_as", "reshape_as", "expand_as"),
    *("new_tensor", "new_zeros", "new_full"),
}
# Parts of a compressed sparse tensor.
_COMPRESSED = {
    torch.sparse_csr: ("crow_indices", "col_indices", "values"),
    torch.sparse_csc: ("ccol_indices", "row_indices", "values"),
    torch.sparse_bsr: ("crow_indices", "col_indices", "values"),
    torch.sparse_bsc: ("ccol_indices", "row_indices", "values"),
}


class _Generator(torch.Generator):
    """A generator that knows its device; its numbers are those of the CPU."""

    _on_gpu: bool

    def __new__(cls, device: torch.device | str = "cpu") -> _Generator:
        made = super().__new__(cls, "cpu")  # type: ignore[call-arg]
        made._on_gpu = torch.device(device).type == "cuda"
        return made

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return GPU if self._on_gpu else CPU


class _SimulatedGpu(TorchFunctionMode):
    """Tells which tensors are on the GPU, and refuses operations that mix the devices."""

    def __init__(self) -> None:
        super().__init__()
        # Weak references: while one lives, its number belongs to no other storage.
        self._storages: dict[int, StorageWeakRef] = {}

    def holds(self, tensor: Tensor) -> bool:
        """Whether a tensor is on the GPU."""
        return any(one._cdata in self._storages for one in _storages(tensor))

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Call a function of PyTorch on the CPU, and note the device of what it returns."""
        given, name = dict(kwargs or {}), getattr(func, "__name__", "")
        if func is torch._C._nn._parse_to or func is torch.device:
            return func(*args, **given)
        if name == "__get__" and func.__self__.__name__ in _PROPERTIES:
            return _PROPERTIES[func.__self__.__name__](self.holds(args[0]))
        wanted, args, given = self._without_device(name, args, given)
        inputs = list(_tensors((args, given)))
        on_gpu = [self.holds(one) for one in inputs]
        if name == "cuda":
            # `Tensor.cuda` needs a PyTorch that is built for CUDA.
            func = Tensor.cpu
        if name in ("numpy", "__array__") and on_gpu[0]:
            raise TypeError("can't convert cuda:0 device type tensor to numpy")
        moving = wanted is not None and name in _MOVING
        if any(on_gpu) and not all(on_gpu) and not moving:
            here = [one for one, there in zip(inputs, on_gpu, strict=True) if not there]
            self._check_mix(name, args, given, here)
        if (generator := given.get("generator")) is not None:
            there = (wanted or (GPU if any(on_gpu[:1]) else CPU)).type
            if generator.device.type != there:
                raise RuntimeError(
                    f"Expected a '{there}' device type for generator but found "
                    f"'{generator.device.type}'"
                )
        result = func(*args, **given)
        there = _is_on_gpu(name, args, wanted, on_gpu)
        pairs = zip(inputs, on_gpu, strict=True)
        if wanted is not None and any(was != there and _share(result, one) for one, was in pairs):
            result = result.clone()
        if there:
            for tensor in _tensors(result):
                for storage in _storages(tensor):
                    self._storages[storage._cdata] = StorageWeakRef(storage)
        return result

    def _without_device(self, name: str, args: Any, given: dict[str, Any]) -> Any:
        """The device that a call asks for, and its arguments with the CPU in its place."""
        if name in ("cuda", "cpu"):
            return GPU if name == "cuda" else CPU, args[:1], {}
        wanted, words = None, list(args)
        if given.get("device") is not None:
            wanted = _device(given["device"])
            given["device"] = CPU
        for place, one in enumerate(args):
            named = name == "to" and place == 1 and type(one) in (str, int)
            if named or isinstance(one, torch.device):
                wanted, words[place] = _device(one), CPU
        if name in ("to", "type_as") and isinstance(args[1] if args[1:] else None, Tensor):
            wanted = GPU if self.holds(args[1]) else CPU
        return wanted, tuple(words), given

    def _check_mix(
        self, name: str, args: tuple[Any, ...], given: dict[str, Any], here: list[Tensor]
    ) -> None:
        """Raise PyTorch's error unless a call with tensors of both devices is allowed.

        Those on the CPU are ``here``.
        """
        # PyTorch makes the gradients of a backward pass without asking a mode: they may be
        # anywhere.
        if torch._C._current_graph_task_id() != -1:
            return
        if name in _MIXING or name.startswith("_foreach"):
            return
        if name in _INDEXING:
            refused = self._refuses_indices(args, given)
        else:
            # What a call in place, such as `add_`, changes may not be on the CPU.
            in_place = name.endswith("_") and not name.endswith("__")
            changed = args[0] if in_place else given.get("out")
            refused = (
                name in _WITHOUT_NUMBERS
                or any(one.dim() > 0 for one in here)
                or any(one is changed for one in here)
            )
        if refused:
            raise RuntimeError(
                "Expected all tensors to be on the same device, but found at least two devices, "
                f"cuda:0 and cpu! (in {name})"
            )

    def _refuses_indices(self, args: tuple[Any, ...], given: dict[str, Any]) -> bool:
        """Whether a table on the CPU has indices on the GPU, or values by index are elsewhere."""
        words = [*args, *(given[key] for key in ("indices", "values") if key in given)]
        table, index, value = words[0], words[1], words[2] if words[2:] else None
        on_gpu = self.holds(table)
        # An index without dimensions is a number, and values by slices are copied.
        indices = [one for one in _tensors(index) if one.dim() > 0]
        elsewhere = isinstance(value, Tensor) and self.holds(value) != on_gpu and value.numel() > 1
        return (not on_gpu and any(map(self.holds, indices))) or (bool(indices) and elsewhere)


def _device(given: Any) -> torch.device:
    """The device of a name or a number; a number is that of a GPU."""
    return GPU if isinstance(given, int) else torch.device(given)


def _is_on_gpu(
    name: str, args: tuple[Any, ...], wanted: torch.device | None, on_gpu: list[bool]
) -> bool:
    if wanted is not None:
        return wanted.type == "cuda"
    if name in ("tensor", "as_tensor") and not isinstance(args[0] if args else None, Tensor):
        # Made of the numbers in a list, wherever these are.
        return False
    return any(on_gpu[:1] if name in _OF_THE_FIRST else on_gpu)


def _storages(tensor: Tensor) -> list[Any]:
    while torch._C._functorch.is_functorch_wrapped_tensor(tensor):
        # In `torch.func.vmap`, `grad` and so on.
        tensor = torch._C._functorch.get_unwrapped(tensor)
    parts = [tensor]
    if tensor.layout is torch.sparse_coo:
        parts = [tensor._indices(), tensor._values()]
    elif tensor.layout in _COMPRESSED:
        parts = [getattr(tensor, name)() for name in _COMPRESSED[tensor.layout]]
    return [part.untyped_storage() for part in parts]


def _share(result: Any, other: Tensor) -> bool:
    """Whether a result is a tensor that has a storage in common with another."""
    if not isinstance(result, Tensor):
        return False
    places = ({storage._cdata for storage in _storages(tensor)} for tensor in (result, other))
    return not set.isdisjoint(*places)


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple | dict):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _tensors(one)


@contextmanager
def simulated_gpu() -> Iterator[None]:
    """PyTorch has one GPU inside the block."""
    mode, engine = _SimulatedGpu(), torch.autograd.graph._engine_run_backward

    @functools.wraps(engine)
    def backward(*args: Any, **given: Any) -> Any:
        # PyTorch leaves the mode in `Tensor.backward`, also for backward functions in Python.
        with mode:
            return engine(*args, **given)

    with pytest.MonkeyPatch.context() as patch:
        for name, answer in _CUDA.items():
            patch.setattr(torch.cuda, name, answer)
        patch.setattr(torch, "Generator", _Generator)
        for module in (torch.autograd, torch.autograd.graph):
            patch.setattr(module, "_engine_run_backward", backward)
        with mode:
            yield
