"""Passes damaged files to a reader, which must load them correctly or refuse them in one line."""

from __future__ import annotations

import contextlib
import io
import resource
import signal
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
from hypothesis import strategies as st

from benchmarks.fuzzing.damage import damaged
from recbole_painvrl.errors import UserError

# Reading takes milliseconds; a reader that needs longer than this counts as hanging.
_SECONDS = 20
# Address space that a reader may take in addition to what the process has.
_MEMORY = 2 << 30


class HangError(BaseException):
    """A reader took too long; a BaseException, so that readers do not catch it."""


@dataclass(frozen=True)
class Reader:
    """A function of this project that reads files from outside.

    ``read`` loads the valid ``files``, of which one at a time is damaged, or raises
    :class:`UserError`; ``check`` asserts that the result is well-formed. ``weight`` is the relative
    number of inputs, ``by_name`` says whether a refusal must name the file, ``bounded`` whether a
    too large allocation is a failure (for .npz files see SECURITY.md).
    """

    name: str
    files: Sequence[Path]
    read: Callable[[], Any]
    check: Callable[[Any], None] = lambda _: None
    weight: float = 1.0
    by_name: bool = True
    bounded: bool = True


def attack(reader: Reader, inputs: int, number: int = 0, keep: Path | None = None) -> Counter[str]:
    """Damage the files of a reader ``inputs`` times; counts those loaded and those refused.

    The smallest file that made the reader fail is written to ``keep``. Raises AssertionError, which
    names the reason, if a file was neither loaded correctly nor refused.
    """
    originals = {path: path.read_bytes() for path in reader.files}
    others = sorted(set(originals.values()))
    counts: Counter[str] = Counter()

    @seed(number)
    @settings(
        max_examples=inputs,
        # Without Phase.explain, which would trace every line of every reader.
        phases=(Phase.generate, Phase.shrink),
        deadline=None,
        database=None,
        print_blob=False,
        verbosity=Verbosity.quiet,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(
        st.sampled_from(reader.files).flatmap(
            lambda path: st.tuples(st.just(path), damaged(originals[path], others))
        )
    )
    def read_damaged(damage: tuple[Path, bytes]) -> None:
        path, content = damage
        _write(path, content)
        try:
            counts[_read(reader, path)] += 1
        except AssertionError as error:
            if keep is not None:
                keep.mkdir(parents=True, exist_ok=True)
                (keep / f"{reader.name}-{path.name}".replace(" ", "-")).write_bytes(content)
            raise AssertionError(f"{reader.name}, {path.name}: {error}") from None
        finally:
            _write(path, originals[path])

    with _limited_memory(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        read_damaged()
    return counts


def _write(path: Path, content: bytes) -> None:
    # Some file systems flush a file that is overwritten to the disk at once.
    path.unlink()
    path.write_bytes(content)


def _read(reader: Reader, path: Path) -> str:
    """``loaded`` or ``refused``; AssertionError for any other outcome."""
    output = io.StringIO()
    try:
        with _time_limit(), contextlib.redirect_stdout(output):
            with contextlib.redirect_stderr(output):
                found = reader.read()
            reader.check(found)
    except UserError as error:
        text = str(error)
        large = isinstance(error.__cause__, MemoryError) and str(error.__cause__)
        assert not (reader.bounded and large), f"it asked for too much memory: {text[:300]!r}"
        assert "\n" not in text and len(text) <= 2000, f"not one line: {text[:300]!r}"
        assert not reader.by_name or path.name in text or path.stem.split(".")[0] in text, (
            f"its refusal names no file: {text[:300]!r}"
        )
        return "refused"
    except (HangError, SystemExit, Exception) as error:
        line = " ".join(str(error).split())[:300]
        raise AssertionError(f"{type(error).__name__}: {line}") from error
    # The hostile content would create this file if it were run.
    assert not Path("HARM").exists(), "something in the file was run"
    return "loaded"


@contextlib.contextmanager
def _time_limit() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise HangError(f"no answer after {_SECONDS} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, _SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def _limited_memory() -> Iterator[None]:
    """Make large allocations inside the block raise MemoryError."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + _MEMORY, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
