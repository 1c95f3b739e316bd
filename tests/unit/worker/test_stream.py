"""Outcomes on their way: numbered, kept until acknowledged, sent again to a successor."""

from __future__ import annotations

from collections.abc import Iterator
from time import monotonic
from typing import Any
from uuid import UUID

import pytest

from wfplatform.compiler.payload import StreamMessage, unpack_delivery
from wfplatform.worker.stream import OutcomeStream, topic_of

ONE, TWO = UUID(int=1), UUID(int=2)
OUTCOME = [0, (), 1, "c", 1.0, 2.0, None, None, None, None, None, None, None, [], None]


class Sent:
    """A stream and what left it."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, StreamMessage]] = []
        self.stream = OutcomeStream("s", "w", self._take)

    def _take(self, topic: str, body: bytes) -> None:
        self.messages.append((topic, unpack_delivery(body)))

    def until(self, count: int) -> None:
        limit_s = monotonic() + 10
        while len(self.messages) < count:
            assert monotonic() < limit_s, "it was not sent"


@pytest.fixture
def sent() -> Iterator[Sent]:
    made = Sent()
    yield made
    made.stream.close()


def add(sent: Sent, engine: str = "e", execution: UUID = ONE, **more: Any) -> None:
    sent.stream.add(engine, execution, 1, "s1", [OUTCOME], **more)


def test_what_is_added_leaves_by_itself(sent: Sent) -> None:
    add(sent)
    sent.until(1)
    topic, message = sent.messages[0]
    assert (topic, message.number, message.stream, message.worker) == (topic_of("e"), 1, "s", "w")
    assert [len(one.outcomes) for one in message.deliveries] == [1]


def test_outcomes_of_one_segment_share_a_delivery_and_engines_do_not_share_messages() -> None:
    sent = Sent()
    sent.stream.close()  # nothing leaves by itself any more
    add(sent)
    add(sent, closed=True)
    add(sent, execution=TWO)
    add(sent, engine="f")
    sent.stream.flush()
    first, second = (message for _, message in sent.messages)
    assert [(one.execution, len(one.outcomes), one.closed) for one in first.deliveries] == [
        (ONE, 2, True),
        (TWO, 1, False),
    ]
    assert [(one.execution, len(one.outcomes)) for one in second.deliveries] == [(ONE, 1)]
    assert [message.number for _, message in sent.messages] == [1, 2]
    sent.stream.flush()
    assert len(sent.messages) == 2


def test_a_message_is_kept_until_it_is_acknowledged_and_goes_to_the_successor() -> None:
    sent = Sent()
    sent.stream.close()
    add(sent)
    sent.stream.flush()
    add(sent)
    sent.stream.flush()
    sent.stream.acknowledge(1)
    assert sent.stream.unacknowledged == 1
    add(sent)  # not sent yet when the engine goes
    assert sent.stream.adopt(["e"], "f") == 1
    assert [(topic, message.number) for topic, message in sent.messages[2:]] == [(topic_of("f"), 2)]
    sent.stream.flush()
    assert [(topic, message.number) for topic, message in sent.messages[3:]] == [(topic_of("f"), 3)]
    assert sent.stream.adopt(["e"], "g") == 0


def test_closing_sends_the_rest() -> None:
    sent = Sent()
    add(sent)
    sent.stream.close()
    assert len(sent.messages) == 1
