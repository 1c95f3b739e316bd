"""What `.run()` finds on a worker: nothing is started there.

Refuses: executions that nobody asked for. A module that runs its workflow while it is imported would start one on each worker,
which would import it in turn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from wfplatform.errors import PlatformError

if TYPE_CHECKING:
    from wfplatform.authoring.platform import RunOptions
    from wfplatform.authoring.workflow import Workflow
    from wfplatform.core.graph import Json

__all__ = ["NoPlatform"]


class NoPlatform:
    """A platform that says that it is none."""

    def run(self, workflow: Workflow[..., Any], parameters: Mapping[str, Json], options: RunOptions) -> NoReturn:
        """Refuse.

        Raises:
            PlatformError: code `run_on_worker`.
        """
        del parameters, options
        raise PlatformError(
            "run_on_worker",
            f"{workflow.name}.run() was called on a worker: by a node, or by a module that runs its workflow when imported.",
            "Call the workflow inside a workflow function, which makes it a node. "
            'In a module, put what only the script is to do below `if __name__ == "__main__":`.',
            workflow=workflow.name,
        )

    def plan(self, workflow: Workflow[..., Any], parameters: Mapping[str, Json], options: RunOptions) -> NoReturn:
        """Refuse, as `run`."""
        self.run(workflow, parameters, options)

    def run_many(
        self, workflow: Workflow[..., Any], parameters: Sequence[Mapping[str, Json]], options: RunOptions
    ) -> NoReturn:
        """Refuse, as `run`."""
        del parameters
        self.run(workflow, {}, options)
