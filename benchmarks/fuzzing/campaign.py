"""Feeds mutated files to readers and keeps every outcome that is neither loading nor refusal."""

from __future__ import annotations

import contextlib
import io
import resource
import signal
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any

from benchmarks.fuzzing.mutations import mutate
from recbole_painvrl.errors import UserError

# A refusal takes milliseconds; slower than this counts as a hang.
_SECONDS = 20
# Address space a reader may take beyond what the process has.
_MEMORY = 2 << 30


class HangError(BaseException):
    """A reader took too long; no reader may catch it."""


@dataclass(frozen=True)
class Reader:
    """A way into the project for a file from outside.

    Attributes:
        name: for messages.
        files: what is damaged, one at a time.
        read: reads; raises :class:`UserError` to refuse.
        check: asserts that what was read is well-formed.
        weight: share of the inputs, for slow readers less.
        by_name: whether a refusal must name the file (command lines name what they like).
    """

    name: str
    files: Sequence[Path]
    read: Callable[[], Any]
    check: Callable[[Any], None] = lambda _: None
    weight: float = 1.0
    by_name: bool = True


@dataclass
class Outcome:
    """What a campaign found.

    Attributes:
        counts: (reader, ``loaded`` or ``refused``) to number of inputs.
        failures: one line per input that did neither.
        seconds: time of the whole campaign.
    """

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def inputs(self) -> int:
        """Inputs so far."""
        return sum(self.counts.values()) + len(self.failures)


def campaign(
    readers: Sequence[Reader],
    inputs: int,
    seed: int,
    keep: Path | None = None,
    on_input: Callable[[Outcome], None] | None = None,
) -> Outcome:
    """Damage files and read them; the same arguments give the same inputs.

    Args:
        readers: what is tried; each must load its own files undamaged.
        inputs: how many.
        seed: of everything.
        keep: folder for the files that made a reader fail, or None.
        on_input: called after every input.
    """
    outcome, start = Outcome(), time.perf_counter()
    originals = {path: path.read_bytes() for reader in readers for path in reader.files}
    pool = sorted(set(originals.values()))
    with _bounded_memory(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number in range(inputs):
            random = Random(f"{seed} {number}")
            (reader,) = random.choices(readers, [reader.weight for reader in readers])
            path = random.choice(reader.files)
            content = mutate(originals[path], random.choice(pool), random)
            path.write_bytes(content)
            failure = _try(reader, path, outcome)
            path.write_bytes(originals[path])
            if failure is not None:
                outcome.failures.append(f"input {number}, {reader.name}, {path.name}: {failure}")
                if keep is not None:
                    keep.mkdir(parents=True, exist_ok=True)
                    (keep / f"{number}-{path.name}").write_bytes(content)
            outcome.seconds = time.perf_counter() - start
            if on_input is not None:
                on_input(outcome)
    return outcome


def _try(reader: Reader, path: Path, outcome: Outcome) -> str | None:
    """Read once; the failure in one line, or None."""
    silence = io.StringIO()
    try:
        with _time_limit(), contextlib.redirect_stdout(silence):
            with contextlib.redirect_stderr(silence):
                found = reader.read()
            reader.check(found)
    except UserError as error:
        text = str(error)
        # numpy.load asks for what the header of an array in an .npz file claims, in vain.
        asked = isinstance(error.__cause__, MemoryError) and path.suffix != ".npz"
        if asked and str(error.__cause__):
            return f"it asked for too much memory: {text[:300]!r}"
        if "\n" in text or len(text) > 2000:
            return f"its refusal is not one line: {text[:300]!r}"
        if reader.by_name and path.name not in text and path.stem.split(".")[0] not in text:
            return f"its refusal names no file: {text[:300]!r}"
        outcome.counts[reader.name, "refused"] += 1
        return None
    except KeyboardInterrupt:
        raise
    # A hang must come through every `except Exception` of a reader.
    except (HangError, SystemExit, Exception) as error:  # noqa: BLE001
        line = " ".join(str(error).split())[:300]
        return f"{type(error).__name__}: {line}"
    if Path("HARM").exists():
        return "something in the file was run"
    outcome.counts[reader.name, "loaded"] += 1
    return None


@contextlib.contextmanager
def _time_limit() -> Iterator[None]:
    def stop(number: int, frame: FrameType | None) -> None:
        raise HangError(f"no answer after {_SECONDS} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, _SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def _bounded_memory() -> Iterator[None]:
    """A reader that asks for much more than the file holds fails with MemoryError."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + _MEMORY, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
