"""The command line `wfp`: runs workflows, watches them, and looks after the platform of a home folder.

Loads nothing but the table of commands; each command loads what it needs when it is called, so that
`wfp --help` answers at once. Refuses: SQL, and any rule about workflows; those are use cases.
"""

from wfplatform.cli.root import main

__all__ = ["main"]
