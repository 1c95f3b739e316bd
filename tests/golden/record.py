"""Records what later releases are held to: `python -m tests.golden.record histories` or `... database`.

Adds to what is there. Refuses to write anything anew: what is recorded stays as it is (docs/why/golden-histories.md).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from tests.golden import histories

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.golden.record", description=(__doc__ or "").partition("\n")[0]
    )
    kinds = parser.add_subparsers(dest="kind", required=True)
    told = kinds.add_parser("histories", help="of the state machine, out of simulations")
    told.add_argument("--seeds", type=int, default=400, help="so many are simulated; default 400")
    told.add_argument("--first", type=int, default=0, help="the first one; default 0")
    asked = parser.parse_args(arguments)
    kept = histories.record(asked.seeds, asked.first)
    for history in kept:
        print(history.name)
    print(f"{len(kept)} histories added")
    return 0


if __name__ == "__main__":
    sys.exit(main())
