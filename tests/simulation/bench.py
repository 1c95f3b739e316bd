"""What stands for the worker processes of simulations: the node runner that they run, without their clock and their threads."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

from tests.contract.drawn import CALLS, UNDOS, grow, pair, small, stumble, tidy
from wfplatform.artifacts import Artifacts
from wfplatform.authoring.travel import pack
from wfplatform.compiler.payload import unpack_order
from wfplatform.engine.testing.simulated_worker import Said
from wfplatform.worker.attempt import Watch
from wfplatform.worker.loaded import LoadedVersion
from wfplatform.worker.runner import NodeRunner

__all__ = ["Bench", "bench"]


class _Heard:
    """What a runner says, in the place of the stream that would send it."""

    def __init__(self) -> None:
        self.said: list[Said] = []

    def add(
        self,
        engine: str,
        execution: UUID,
        epoch: int,
        segment: str,
        outcomes: Sequence[Sequence[Any]],
        *,
        closed: bool = False,
        now: bool = False,
        returned: Sequence[Sequence[Any]] = (),
    ) -> None:
        assert not returned, "without a budget nothing is given back"
        del now
        self.said.append(Said(engine, execution, epoch, segment, [list(one) for one in outcomes], closed))

    def flush_through(self) -> None:
        """Nothing waits."""

    def watch(self) -> None:
        """Nothing has to be announced."""


class Bench:
    """Runs orders. One serves many simulations: it remembers programs only.

    Args:
        folder: for programs.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._programs: dict[str, bytes] = {}
        self._loaded: dict[str, LoadedVersion] = {}
        self._heard = _Heard()
        self._watch = Watch(lambda attempt: None, lambda attempt: None)
        self.artifacts = Artifacts(str(folder / "artifacts"))
        heard: Any = self._heard
        self._runner = NodeRunner(
            artifacts=self.artifacts, stream=heard, watch=self._watch, load=self._load, scratch=folder / "scratch"
        )
        functions = (*CALLS, *UNDOS, pair, grow, small, stumble, tidy)
        # All workflows here share their code: packing it for each would take most of the time.
        self.code = pack(
            {f"{one.__module__}:{one.__qualname__}": one for one in functions}, None, {"n": int, "xs": list[int]}
        )

    def __call__(
        self, order: bytes, values: Sequence[Any], cancelled: Mapping[UUID, int]
    ) -> tuple[Any, Sequence[Said]]:
        """Run an order; see `simulated_worker.Runner`."""
        self._heard.said.clear()
        self._watch._cancelled.clear()
        for execution, epoch in cancelled.items():
            self._watch.cancel(execution, epoch)
        # Elements are not given back for having taken long: the time here is not that of the world.
        value = self._runner.run(unpack_order(order)._replace(budget_s=0.0), values)
        return value, list(self._heard.said)

    def publish(self, digest: str, body: bytes) -> None:
        """Keep a program."""
        self._programs[digest] = body

    def close(self) -> None:
        """End it."""
        self._runner.close()

    def _load(self, digest: str) -> LoadedVersion:
        if digest not in self._loaded:
            self._loaded[digest] = LoadedVersion(self._programs[digest], self._folder / "programs" / digest)
        return self._loaded[digest]


@contextmanager
def bench() -> Iterator[Bench]:
    """One, for the time of the `with` block."""
    with tempfile.TemporaryDirectory(prefix="wfplatform-simulation-") as folder:
        made = Bench(Path(folder))
        try:
            yield made
        finally:
            made.close()
