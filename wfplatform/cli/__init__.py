"""The command line `wfp`: runs workflows, watches them, and looks after the platform of a home folder.

Loads nothing but the table of commands; each command loads what it needs when it is called, so that
`wfp --help` answers at once. Refuses: SQL, and any rule about workflows; those are use cases.
"""

import sys

__all__ = ["main"]


def main() -> None:
    """Entry point; ends the process with the exit code of the command."""
    try:
        # Here, so that whoever changes their mind while it loads is not shown where.
        from wfplatform.cli.root import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(130)
