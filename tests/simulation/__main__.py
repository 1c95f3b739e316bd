"""`python -m tests.simulation`: see `sweep`."""

import sys

from tests.simulation.sweep import main

if __name__ == "__main__":
    sys.exit(main())
