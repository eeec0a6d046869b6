"""``python -m recbole_painvrl COMMAND``."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that the words name; returns the exit code."""
    try:
        from recbole_painvrl.cli import base, completion, group
    except ModuleNotFoundError as error:
        print(f"error: {error}; type: pip install {error.name}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped before the command began", file=sys.stderr)
        return 1
    words = list(sys.argv[1:] if argv is None else argv)
    return base.piped(lambda: completion.answer(group.ALL) or base.execute(group.ALL, words))


if __name__ == "__main__":
    sys.exit(main())
