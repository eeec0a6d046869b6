"""When trials are compared and pruned; larger values are better."""

from __future__ import annotations

from collections.abc import Sequence

from recbole_painvrl.evaluation.selection import Vector, dominates

# First number of validations after which trials are compared; it then doubles.
FIRST_RUNG = 4
# Minimum number of other trials for pruning.
FEWEST_PEERS = 4


def is_rung(validations: int) -> bool:
    """Whether trials are compared after this many validations: 4, 8, 16, 32..."""
    steps, rest = divmod(validations, FIRST_RUNG)
    return rest == 0 and steps > 0 and steps & (steps - 1) == 0


def is_hopeless(own: Vector, peers: Sequence[Vector]) -> bool:
    """Whether more than half of the peers are better in every objective at the same rung.

    The median rule of Vizier (Golovin et al., 2017) with Pareto dominance as the order: equal
    to that rule for one objective; for two, a trial that is best in one of them is never pruned.

    Args:
        own: best value of each objective so far.
        peers: the same for the other trials, after as many validations.
    """
    better = sum(dominates(other, own) for other in peers)
    return len(peers) >= FEWEST_PEERS and 2 * better > len(peers)
