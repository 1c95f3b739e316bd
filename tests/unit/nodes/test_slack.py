"""What arrives in a channel: plain words that format nothing, link nothing and call nobody."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.receivers import Web, web
from tests.unit.nodes.told import ID, told
from wfplatform import DefinitionError, env, slack
from wfplatform.core.hook import Occasion
from wfplatform.core.notice import Failure


@pytest.fixture
def channel(monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    with web() as found:
        monkeypatch.setenv("CHANNEL", f"{found.url}/services/T0/B0/x")
        yield found


def test_a_message_says_what_happened_and_how_to_look_at_it(channel: Web) -> None:
    assert told(slack(env("CHANNEL"))) == 200
    [posted] = channel.posted
    assert posted.path == "/services/T0/B0/x"
    assert set(posted.document) == {"text"}, "what both Slack and Mattermost understand"
    lines = posted.document["text"].split("\n")
    assert lines[0] == "❌ *flights failed*"
    assert "Error: `ValueError: no such year (node load)`" in lines
    assert "Took: `1.5 min`" in lines
    assert f"Look at it: `wfp executions show {ID}`" in lines


def test_lateness_says_since_when(channel: Web) -> None:
    told(
        slack(env("CHANNEL")), occasion=Occasion.LATENESS, state="waiting", error=None, late_after_s=7200.0,
        finished_at=None, waiting_for="paid: waits for the event paid",
    )  # fmt: skip
    lines = channel.posted[0].document["text"].split("\n")
    assert lines[0] == "⏰ *flights is late: waiting after 2 h*"
    assert "Waits for: `paid: waits for the event paid`" in lines
    assert "Runs for: `1.5 min`" in lines


def test_an_error_can_neither_format_nor_call(channel: Web) -> None:
    nasty = "<!channel> <https://evil.example|look> @all @here `x` *b*\nsecond & last"
    told(slack(env("CHANNEL")), error=Failure(type="E", message=nasty), workflow="a*b @channel")
    text = channel.posted[0].document["text"]
    assert "<" not in text
    assert "@all" not in text
    assert "@here" not in text
    assert "@channel" not in text
    assert "&lt;!channel&gt;" in text
    assert text.count("```") == 2
    assert "second &amp; last" in text


def test_a_long_error_is_cut(channel: Web) -> None:
    told(slack(env("CHANNEL")), error=Failure(type="E", message="x" * 100_000))
    assert len(channel.posted[0].document["text"]) < 2500


def test_an_address_is_one() -> None:
    with pytest.raises(DefinitionError, match="expects the address of a web service"):
        slack("hooks.example.org/T0")
