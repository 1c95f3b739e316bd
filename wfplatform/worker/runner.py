"""The node runner: what happens to a segment on a worker.

Each element passes four phases: prepare (its inputs), execute (user code), post-process (its outputs are encoded and hashed) and finalise
(its outcome enters the stream, once its artifact is safe). Errors of user code never leave the runner.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import resource
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from contextvars import Context, copy_context
from hashlib import sha256
from pathlib import Path
from tempfile import mkdtemp
from time import monotonic, thread_time, time
from typing import Any, Final

from wfplatform.artifacts import Artifacts
from wfplatform.authoring import call, coroutine
from wfplatform.authoring.call import exception_names, follow, items_of, split_outputs
from wfplatform.authoring.context import NodeContext, enter_node, leave_node
from wfplatform.compiler.payload import Part, SegmentOrder
from wfplatform.compiler.tree import open_output
from wfplatform.core.execution import Element, Span
from wfplatform.core.graph import DEFAULT_PORT, Graph, Node, NodeKind, OutputRef, size_key, size_within
from wfplatform.core.policy import Lane
from wfplatform.errors import NodeError, StorageError, WfError
from wfplatform.worker.attempt import Attempt, AttemptEnded, Watch
from wfplatform.worker.backlog import Backlog
from wfplatform.worker.capture import CURRENT_LOG
from wfplatform.worker.inputs import Absent, Inputs, Scope
from wfplatform.worker.loaded import LoadedVersion
from wfplatform.worker.stream import OutcomeStream
from wfplatform.worker.values import SegmentValues

__all__ = ["NodeRunner"]

_MAX_TRACEBACK_CHARS: Final = 65_536
_OWN_FILES: Final = frozenset({__file__, call.__file__, coroutine.__file__})
"""Frames of these are left out at the head of a traceback: it begins where the user's code does."""


class NodeRunner:
    """Runs segments in one worker process.

    Args:
        artifacts: where results are kept.
        stream: takes outcomes.
        watch: watches attempts.
        load: digest of a workflow version -> its graph and code.
        scratch: folder below which nodes get scratch folders.
        io_slots: nodes of the I/O lane that run at the same moment.
    """

    def __init__(
        self,
        *,
        artifacts: Artifacts,
        stream: OutcomeStream,
        watch: Watch,
        load: Callable[[str], LoadedVersion],
        scratch: Path,
        io_slots: int = 50,
    ) -> None:
        self._artifacts = artifacts
        self._stream = stream
        self._watch = watch
        self._load = load
        self._scratch = scratch
        self._io_slots = threading.BoundedSemaphore(io_slots)
        self._writer = ThreadPoolExecutor(2, thread_name_prefix="wfplatform-artifacts")
        self._loop = _LoopThread()
        self.backlog = Backlog(stream)

    def run(self, order: SegmentOrder, needed: Sequence[SegmentValues]) -> SegmentValues:
        """Run a segment; every element's outcome goes to the stream.

        Args:
            order: what to run.
            needed: the values of the segments it needs.

        Returns:
            the values other segments read.
        """
        slot = self._io_slots if order.lane == Lane.IO else None
        if slot is not None:
            slot.acquire()
        try:
            reset_peak_memory()
            exported = SegmentValues()
            started_s = monotonic()
            for part in self.backlog.parts(order):
                if self._watch.is_cancelled(part.execution, part.epoch):
                    continue
                # Says which segment has begun: it may not live to say more.
                self._stream.add(order.engine, part.execution, part.epoch, part.segment, [])
                if order.announce:
                    self._stream.flush_through()
                try:
                    version = self._load(part.version)
                    with version.active():  # values of the user's own classes are opened
                        loaded = _PartRun(self, order, part, version, needed, started_s)
                except Exception as error:  # noqa: BLE001 - code or inputs cannot be loaded: every node fails, with the reason
                    self._refuse(order, part, error)
                    continue
                loaded.run(exported)
            return exported
        finally:
            if slot is not None:
                slot.release()

    def _refuse(self, order: SegmentOrder, part: Part, error: Exception) -> None:
        described = describe_error(error, "")
        now = time()
        outcomes = [
            [index, element, attempt, "f", now, now, None, None, None, None, described, None, None, [], None]
            for index, span, attempt in part.members
            for element in span.elements()
        ]
        self._stream.add(order.engine, part.execution, part.epoch, part.segment, outcomes, closed=True, now=True)

    def open(self, output: Mapping[str, Any]) -> Any:
        """The value of a recorded output."""
        return open_output(output, self._artifacts.load)

    def close(self) -> None:
        """Finish writing and stop."""
        self._writer.shutdown(wait=True)
        self._loop.close()


class _PartRun:
    """What a segment does for one execution."""

    def __init__(
        self,
        runner: NodeRunner,
        order: SegmentOrder,
        part: Part,
        version: LoadedVersion,
        needed: Sequence[SegmentValues],
        started_s: float,
    ) -> None:
        self.runner = runner
        self.order = order
        self.part = part
        self.version = version
        self.graph: Graph = self.version.graph
        self.scope = Scope(
            self.version.parameters(part.parameters),
            self.version.tokens(part.parameters),
            part.sizes,
            self.version.constant,
        )
        self.until_s = started_s + order.budget_s if order.budget_s else None
        self.outcomes: list[list[Any]] = []
        self.writing: list[Future[None]] = []
        self.ran = 0
        for values in needed:
            values.fill(part.execution, self.scope)
        for known in part.known:
            key = (known.node, known.element)
            if known.outputs is None:
                self.scope.values[key] = Absent.SKIPPED
            else:
                self._load_known(key, known.outputs)

    def run(self, exported: SegmentValues) -> None:
        part = self.part
        try:
            with self.version.active():
                for index, span, attempt in part.members:
                    if not self.run_span(index, span, attempt):
                        break
        finally:
            self.finalise()
        exported.take(part, self.scope, self.version.active)

    def run_span(self, index: int, span: Span, attempt: int) -> bool:
        """Run the elements of one member; False when the segment's time is over."""
        node = self.graph.nodes[index]
        inputs = self.version.inputs(index)
        scope = self.scope
        values = scope.values
        run = self.run_loop if node.type == NodeKind.LOOP else self.run_element
        for element in span.elements():
            if self.until_s is not None and self.ran and monotonic() > self.until_s:
                return False
            if self.runner._watch.is_cancelled(self.part.execution, self.part.epoch):
                return False
            arguments: dict[str, Any] | Absent
            try:
                arguments = inputs.resolve(scope, element)
            except Exception as error:  # user data: an attribute or item that is not there, a class that raises
                self.fail_early(node, index, element, attempt, error)
                continue
            if isinstance(arguments, Absent):
                values[index, element] = arguments
                if arguments is Absent.SKIPPED and element:
                    # All of a branch that is not taken, not just its elements: who reads it as a whole gets None.
                    values[index, inputs.skipped_at(scope, element)] = arguments
                continue
            if node.type == NodeKind.MERGE:
                arguments = {"values": list(arguments.values()), "present": self._present(index, element)}
            run(node, index, element, attempt, arguments, inputs)
            self.ran += 1
        return True

    def _present(self, index: int, element: Element) -> list[bool]:
        """Of the inputs of a merge node, which were not skipped."""
        present = []
        node = self.graph.nodes[index]
        for binding in node.inputs.values():
            if isinstance(binding, OutputRef):
                source = self.version.index(binding.node)
                rank = self.graph.nodes[source].rank
                present.append(self.scope.values.get((source, element[:rank])) is not Absent.SKIPPED)
            else:
                present.append(True)
        return present

    # -- one element

    def run_element(
        self, node: Node, index: int, element: Element, number: int, arguments: dict[str, Any], inputs: Inputs
    ) -> None:
        part, scope = self.part, self.scope
        attempt = Attempt(self.order.engine, part.execution, part.epoch, part.segment, index, element, number)
        input_digest = inputs.digest(scope, element)
        function = self._function(node)
        result, error, cpu_s = self.execute(node, attempt, function, arguments)
        if error is None:
            try:
                outputs, digests, stored = self.post_process(node, result)
                value = result if len(node.outputs) == 1 else split_outputs(node.id, node.outputs, result)
                sizes = self.sizes(node, value, len(node.outputs) > 1)
            except Exception as raised:  # the result cannot be stored: the user's to mend, like an error of the node
                error = raised
            else:
                scope.values[index, element] = value
                scope.digests[index, element] = digests
                verdict = bool(result) if node.type == NodeKind.CHOICE else None
                self.add(attempt, "c", cpu_s, input_digest, outputs, None, sizes, verdict, stored)
                return
        scope.values[index, element] = Absent.GONE
        self.add(attempt, "f", cpu_s, input_digest, None, describe_error(error, attempt.reason), None, None, ())

    def execute(
        self, node: Node, attempt: Attempt, function: Callable[[Mapping[str, Any]], Any], arguments: dict[str, Any]
    ) -> tuple[Any, BaseException | None, float]:
        """Run user code with its context; returns result, error and CPU seconds."""
        runner = self.runner
        context = NodeContext(
            attempt.execution,
            node.id,
            attempt.element,
            attempt.attempt,
            attempt.report,
            attempt.is_cancelled,
            self._make_scratch,
        )
        if self.order.announce:
            attempt.announced = True
            attempt.started_at = time()
            self.runner._stream.add(
                attempt.engine, attempt.execution, attempt.epoch, attempt.segment, [attempt.started()]
            )
            self.runner._stream.flush_through()
        log_token = CURRENT_LOG.set(attempt.log)
        node_token = enter_node(context)
        cpu_s = thread_time()
        result: Any = None
        error: BaseException | None = None
        attempt.started_at = time()
        try:
            runner._watch.begin(attempt, node.policy.timeout_s)
            try:
                runner._stream.watch()
                result = function(arguments)
                if inspect.isawaitable(result):
                    result = runner._loop.run(result, attempt)
            finally:
                runner._watch.end(attempt)
        except BaseException as raised:  # noqa: BLE001 - user code may raise anything, SystemExit included
            error = raised
        cpu_s = thread_time() - cpu_s
        leave_node(node_token)
        CURRENT_LOG.reset(log_token)
        context.close()
        return result, error, cpu_s

    def post_process(self, node: Node, result: Any) -> tuple[dict[str, Any], Any, tuple[Any, ...]]:
        """Encode and hash the outputs; returns them, their digests for later inputs, and what is still to be made safe."""
        store = self.runner._artifacts.store
        if len(node.outputs) == 1:
            stored = store(result)
            output = stored.output
            return {node.outputs[0]: output}, output["digest"], (stored,) if "location" in output else ()
        by_port = {port: store(value) for port, value in split_outputs(node.id, node.outputs, result).items()}
        outputs = {port: stored.output for port, stored in by_port.items()}
        return outputs, _joint_digest(outputs), tuple(stored for stored in by_port.values() if "location" in stored.output)

    def run_loop(
        self, node: Node, index: int, element: Element, number: int, arguments: dict[str, Any], inputs: Inputs
    ) -> None:
        """Turn after turn while the condition holds; each is recorded, so that a later engine goes on from the last."""
        state = arguments.pop("state")
        input_digest = inputs.digest(self.scope, element)
        limit = int(str(node.config["limit"]))
        turn = 0
        for loop_index, loop_element, done, output in self.part.turns:
            if (loop_index, loop_element) == (index, element):
                turn, state = done, self.runner.open(output[DEFAULT_PORT])
        hold_key, body_key = str(node.config["while"]), str(node.config["function"])
        holds, body = self.version.caller(hold_key), self.version.caller(body_key)
        hold_names, body_names = self.version.names(hold_key), self.version.names(body_key)
        outputs: Mapping[str, Any] | None = None
        while True:
            attempt = Attempt(
                self.order.engine, self.part.execution, self.part.epoch, self.part.segment, index, element, number
            )
            go_on, error, cpu_s = self.execute(node, attempt, holds, {hold_names[0]: state})
            if error is None and go_on and turn >= limit:
                error = RuntimeError(
                    f"The loop {node.id} still wants to go on after its limit of {limit} turns. "
                    "Raise limit= or look at its condition."
                )
            if error is None and not go_on:
                try:
                    outputs, digest, stored = self.post_process(node, state)
                    sizes = self.sizes(node, state, several=False)
                except Exception as raised:  # noqa: BLE001 - the result cannot be stored or mapped over
                    error = raised
                else:
                    self.scope.values[index, element] = state
                    self.scope.digests[index, element] = digest
                    self.add(attempt, "c", cpu_s, input_digest, outputs, None, sizes, None, stored)
                    return
            if error is None:
                attempt = Attempt(
                    self.order.engine, self.part.execution, self.part.epoch, self.part.segment, index, element, number
                )
                state, error, cpu_s = self.execute(node, attempt, body, {body_names[0]: state, **arguments})
            if error is None:
                try:
                    outputs, _, stored = self.post_process(node, state)
                except Exception as raised:  # the state cannot be stored
                    error = raised
            if error is not None:
                self.scope.values[index, element] = Absent.GONE
                described = describe_error(error, attempt.reason)
                self.add(attempt, "f", cpu_s, input_digest, None, described, None, None, ())
                return
            turned = Attempt(
                self.order.engine,
                self.part.execution,
                self.part.epoch,
                self.part.segment,
                index,
                (*element, turn),
                number,
            )
            turned.started_at, turned.log = attempt.started_at, attempt.log
            self.add(turned, "i", cpu_s, input_digest, outputs, None, None, True, stored)
            turn += 1

    def fail_early(self, node: Node, index: int, element: Element, number: int, error: Exception) -> None:
        """The inputs could not be made."""
        part = self.part
        attempt = Attempt(self.order.engine, part.execution, part.epoch, part.segment, index, element, number)
        attempt.started_at = time()
        self.scope.values[index, element] = Absent.GONE
        described = describe_error(error, "")
        described["message"] = f"The inputs of {node.id} could not be prepared: {described['message']}"
        self.add(attempt, "f", 0.0, None, None, described, None, None, ())

    # -- finalise

    def add(
        self,
        attempt: Attempt,
        letter: str,
        cpu_s: float,
        input_digest: str | None,
        outputs: Mapping[str, Any] | None,
        error: Mapping[str, Any] | None,
        sizes: Mapping[str, int] | None,
        verdict: bool | None,
        stored: Sequence[Any],
    ) -> None:
        log = attempt.log
        if log.partial or log.dropped:
            log.finish()
        outcome = [
            attempt.index,
            attempt.element,
            attempt.attempt,
            letter,
            attempt.started_at,
            time(),
            cpu_s,
            resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _MAXRSS_UNIT,
            input_digest,
            outputs,
            error,
            sizes,
            verdict,
            log.lines[log.sent :],
            attempt.progress,
        ]
        if stored:
            self.writing.append(self.runner._writer.submit(self._make_safe, outcome, stored))
        else:
            self.outcomes.append(outcome)
            if len(self.outcomes) >= 50:
                self._send()

    def _make_safe(self, outcome: list[Any], stored: Sequence[Any]) -> None:
        """In a thread of its own: the outcome leaves when the artifact is on disk."""
        try:
            for one in stored:
                one.make_durable()
        except Exception as error:  # the storage: told as the node's failure, with the reason
            outcome[3] = "f"
            outcome[9] = None
            outcome[10] = describe_error(error, "")
        part = self.part
        self.runner._stream.add(self.order.engine, part.execution, part.epoch, part.segment, [outcome])

    def _send(self, *, closed: bool = False) -> None:
        outcomes, self.outcomes = self.outcomes, []
        part = self.part
        self.runner._stream.add(
            self.order.engine, part.execution, part.epoch, part.segment, outcomes, closed=closed, now=closed
        )

    def finalise(self) -> None:
        """Say what is left to say; the segment is closed when its last artifact is safe."""
        if not self.writing:
            self._send(closed=True)
            return
        self._send()
        left = len(self.writing)
        lock = threading.Lock()

        def landed(_: Future[None]) -> None:
            nonlocal left
            with lock:
                left -= 1
                last = left == 0
            if last:
                self._send(closed=True)

        for future in self.writing:
            future.add_done_callback(landed)

    # -- pieces

    def sizes(self, node: Node, value: Any, several: bool) -> dict[str, int] | None:
        refs = self.version.sized.get(node.id)
        return _sizes(node.id, refs, self.graph.size_levels[node.id], value, several) if refs else None

    def _load_known(self, key: tuple[int, Element], outputs: Mapping[str, Any]) -> None:
        node = self.graph.nodes[key[0]]
        try:
            values = {port: self.runner.open(outputs[port]) for port in node.outputs}
        except StorageError as error:
            # Whoever needs it cannot run now; the engine has it computed again.
            self.scope.values[key] = Absent.GONE
            described = describe_error(error, "")
            self.outcomes.append(
                [*key, 0, "u", None, None, None, None, None, None, described, None, None, [], None]
            )
            return
        single = len(node.outputs) == 1
        self.scope.values[key] = values[node.outputs[0]] if single else values
        self.scope.digests[key] = outputs[node.outputs[0]]["digest"] if single else _joint_digest(outputs)

    def _function(self, node: Node) -> Callable[[Mapping[str, Any]], Any]:
        match node.type:
            case NodeKind.PYTHON:
                return self.version.caller(str(node.config["function"]))
            case NodeKind.CHOICE:
                return lambda arguments: bool(arguments["condition"])
            case NodeKind.MERGE:
                return _first_present
            case _:
                return _refuse(node)

    def _make_scratch(self) -> Path:
        self.runner._scratch.mkdir(parents=True, exist_ok=True)
        return Path(mkdtemp(prefix="node-", dir=self.runner._scratch))


def _joint_digest(outputs: Mapping[str, Any]) -> str:
    digests = {port: output["digest"] for port, output in outputs.items()}
    return sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest()


def _refuse(node: Node) -> Callable[[Mapping[str, Any]], Any]:
    def refuse(_: Mapping[str, Any]) -> None:
        raise WfError(
            "unknown_node_type",
            f"Node {node.id} is of type {node.type!r}, which this worker does not know.",
            "Install the package that brings this node type on the workers.",
        )

    return refuse


def _first_present(arguments: Mapping[str, Any]) -> Any:
    for value, present in zip(arguments["values"], arguments["present"], strict=True):
        if present:
            return value
    return None


def _sizes(
    node: str, refs: Sequence[OutputRef], levels: Mapping[str, int], value: Any, several: bool
) -> dict[str, int] | None:
    """Lengths of what later nodes are mapped over. What is no list has none: it is for those nodes to fail, not for this one."""
    if not refs:
        return None
    found: dict[str, int] = {}
    for ref in refs:
        key = size_key(ref)
        with suppress(NodeError):
            part = follow(value[ref.port] if several else value, ref.path, f"`{node}`")
            _measure(found, key, part, levels[key], ())
    return found


def _measure(found: dict[str, int], key: str, value: Any, levels: int, indices: Element) -> None:
    items = items_of(value, key)
    found[size_within(key, indices)] = len(items)
    if levels > 1:
        for index, item in enumerate(items):
            with suppress(NodeError):
                _measure(found, key, item, levels - 1, (*indices, index))


def describe_error(error: BaseException, reason: str) -> dict[str, Any]:
    """An exception as plain data: type, names of its classes, message, traceback of user code, and whether a retry makes sense."""
    kind = type(error)
    kinds = list(exception_names(error))
    name = kinds[0].removeprefix("builtins.")
    if isinstance(error, AttemptEnded):
        code = "timeout" if reason == "timeout" else "cancelled"
        message = {
            "timeout": "It ran longer than its timeout.",
            "cancelled": "Its execution was cancelled while it ran.",
        }[code]
        name = {"timeout": "NodeTimeout", "cancelled": "Cancelled"}[code]
    else:
        code = error.code if isinstance(error, WfError) else "user_error"
        try:
            message = str(error)
        except Exception as broken:  # a __str__ of the user's that raises
            message = f"(its message cannot be shown: {type(broken).__name__})"
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename in _OWN_FILES:
        frames = frames.tb_next
    text = "".join(traceback.format_exception(kind, error, frames))
    if len(text) > _MAX_TRACEBACK_CHARS:
        text = f"{text[: _MAX_TRACEBACK_CHARS // 2]}\n...\n{text[-_MAX_TRACEBACK_CHARS // 2 :]}"
    return {
        "type": name,
        "kinds": [*kinds, name] if name not in kinds else kinds,
        "message": message[:16_384],
        "traceback": text,
        "code": code,
        "retryable": code != "cancelled",
    }


_MAXRSS_UNIT: Final = 1 if sys.platform == "darwin" else 1024
_CLEAR_REFS: Final = Path("/proc/self/clear_refs")


def reset_peak_memory() -> None:
    """Start measuring the peak of this process's memory anew. Where the system cannot, the peak is that of the process's life."""
    try:
        _CLEAR_REFS.write_text("5")
    except OSError:
        return


class _LoopThread:
    """An event loop of its own for `async def` nodes, started when the first comes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self, awaitable: Any, attempt: Attempt) -> Any:
        """Wait for an awaitable in the calling thread; cancel it if the thread is interrupted."""
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="wfplatform-async", daemon=True).start()
            loop = self._loop
        future = asyncio.run_coroutine_threadsafe(_in_context(awaitable, copy_context()), loop)
        while True:
            try:
                # In short stretches: an interrupt reaches a thread only between two of them.
                return future.result(timeout=0.1)
            except TimeoutError:
                if future.done():
                    raise
            except AttemptEnded:
                future.cancel()
                raise

    def close(self) -> None:
        """Stop the loop."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)


async def _in_context(awaitable: Any, context: Context) -> Any:
    """Await with the context variables of the thread that asked: the current node, its log."""
    return await asyncio.get_running_loop().create_task(_await(awaitable), context=context)


async def _await(awaitable: Any) -> Any:
    return await awaitable
