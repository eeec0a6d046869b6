"""Runs the cells of a grid: some at a time, whatever fails, until none is left."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from recbole_painvrl.errors import InterruptedRunError
from recbole_painvrl.experiments.cells import Cell, distinct
from recbole_painvrl.experiments.claims import Claim, Claims
from recbole_painvrl.experiments.launch import Launch, Running, failure_reason
from recbole_painvrl.run.folder import RESULT

_POLL, _WAIT, _GRACE = 0.1, 2.0, 30.0
Say = Callable[[str], None]


class Grid:
    """Runs cells that are neither done nor failed.

    Args:
        cells: of all rows; repetitions are run once.
        claims: hands out cells.
        launch: starts one.
        workers: how many work at a time.
        say: receives a line for whatever happens.
        on_change: called after a cell began or ended.
        wait: seconds between looks at cells that others run.
    """

    def __init__(
        self,
        cells: Sequence[Cell],
        claims: Claims,
        launch: Launch,
        workers: int,
        say: Say,
        on_change: Callable[[], object] = lambda: None,
        wait: float = _WAIT,
    ) -> None:
        self.cells = distinct(cells)
        self._claims, self._launch, self._workers = claims, launch, workers
        self._say, self._on_change, self._wait = say, on_change, wait
        self._working: dict[Claim, tuple[Running, float]] = {}
        self._elsewhere: set[Path] = set()
        self._next_look = 0.0

    def run(self) -> None:
        """Run what is left.

        Raises:
            InterruptedRunError: Ctrl-C or SIGTERM; the running cells were stopped resumably.
        """
        self._say(self._summary())
        try:
            self._run()
        except KeyboardInterrupt as error:
            self._stop()
            raise InterruptedRunError(
                f"stopped with {self._count('done')} of {len(self.cells)} cells done; "
                "the same command goes on"
            ) from error
        finally:
            self._kill()

    def _run(self) -> None:
        waiting = False
        while True:
            begun = self._fill()
            ended = self._collect()
            if begun or ended:
                waiting = False
                self._on_change()
                continue
            if self._working:
                self._claims.beat()
                time.sleep(_POLL)
                continue
            left = self._left()
            if not left:
                return
            if not waiting:
                self._say(f"waiting for {len(left)} cells that other processes run")
                waiting = True
            time.sleep(self._wait)

    def _fill(self) -> bool:
        """Start cells while there are free workers; whether any began."""
        begun = False
        while len(self._working) < self._workers and time.monotonic() >= self._next_look:
            claim = self._claims.take(self._left())
            if claim is None:
                # What others run is not looked at as often as what we run.
                self._next_look = time.monotonic() + self._wait
                break
            cell = claim.cell
            again = "goes on" if cell.state() == "interrupted" else "starts"
            self._say(f"{self._place()} {cell.folder.name}: {again}")
            try:
                self._working[claim] = (self._launch(cell, claim.lock), time.monotonic())
            except BaseException:
                self._claims.give_back(claim)
                raise
            begun = True
        return begun

    def _collect(self) -> bool:
        """Take in cells that ended; whether any did."""
        ended = False
        for claim, (running, start) in list(self._working.items()):
            code = running.poll()
            if code is None:
                continue
            cell = claim.cell
            seconds = time.monotonic() - start
            if (cell.folder / RESULT).is_file():
                self._end(claim, None, f"done in {seconds:.0f} s")
            else:
                reason = failure_reason(cell, code)
                # A run that was told to stop says so and ends with an ordinary exit code.
                cell.fail(reason, resumable=code < 0 or reason.startswith("stopped"))
                self._end(claim, reason, f"failed: {reason} ({cell.log_file})")
            self._next_look = 0.0
            ended = True
        return ended

    def _end(self, claim: Claim, reason: str | None, said: str) -> None:
        del self._working[claim]
        self._claims.finish(claim, reason)
        self._say(f"{self._place()} {claim.cell.folder.name}: {said}")

    def _left(self) -> list[Cell]:
        """Cells that still have to be run, by us or by others."""
        ours = {claim.cell for claim in self._working}
        left = []
        for cell in self.cells:
            if cell in ours or cell.state() in ("done", "failed"):
                continue
            if cell.folder not in self._elsewhere:
                where = self._claims.elsewhere(cell)
                if where is None:
                    left.append(cell)
                    continue
                self._elsewhere.add(cell.folder)
                self._say(
                    f"{cell.model} seed {cell.seed}: done at {where}, which cannot be seen from "
                    "here; let all machines share the folder `--output`"
                )
        return left

    def _stop(self) -> None:
        """Ask all cells to stop, and wait for a while."""
        for running, _ in self._working.values():
            with suppress(ProcessLookupError):
                running.stop()
        end = time.monotonic() + _GRACE
        with suppress(KeyboardInterrupt):
            while time.monotonic() < end and any(
                running.poll() is None for running, _ in self._working.values()
            ):
                time.sleep(_POLL)

    def _kill(self) -> None:
        """End what still works and give all cells back."""
        for claim, (running, _) in self._working.items():
            if running.poll() is None:
                running.kill()
            if (claim.cell.folder / RESULT).is_file():
                self._claims.finish(claim, None)
            else:
                self._claims.give_back(claim)
        self._working.clear()

    def _count(self, state: str) -> int:
        return sum(cell.state() == state for cell in self.cells)

    def _place(self) -> str:
        return f"[{self._count('done') + self._count('failed')}/{len(self.cells)}]"

    def _summary(self) -> str:
        counts = {state: self._count(state) for state in ("done", "failed", "interrupted", "open")}
        known = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
        return f"{len(self.cells)} cells: {known}"
