"""`slack(...)`: a notice into a channel, by an incoming webhook of Slack, Mattermost or what understands the same."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from wfplatform.authoring.context import current_node
from wfplatform.authoring.hook import ReadyHook
from wfplatform.authoring.node import node
from wfplatform.core.graph import Json
from wfplatform.nodes.http import checked_url, post_json
from wfplatform.nodes.message import details, headline
from wfplatform.nodes.variable import Variable, read, written
from wfplatform.nodes.webhook import RETRY, SPARE_S, checked_timeout

__all__ = ["post_to_slack", "slack"]

_SIGNS: Final = {"failure": "❌", "completion": "✅", "cancellation": "⏹️", "lateness": "⏰"}
_CALLS: Final = re.compile(r"@(?=all\b|channel\b|everyone\b|here\b)", re.IGNORECASE)


def slack(url: str | Variable, *, timeout_s: float = 10.0) -> ReadyHook:
    """A hook that writes into a channel.

    Args:
        url: of the incoming webhook, which whoever knows it may write to: better `env("NAME")`.
        timeout_s: seconds to wait for the other side, above 0 and at most 300.

    Raises:
        DefinitionError: an address or a time that does not fit.
    """
    seconds = checked_timeout("slack", timeout_s)
    arguments: dict[str, Json] = {
        "url": written(url if isinstance(url, Variable) else checked_url(url, "slack()")),
        "timeout_s": seconds,
    }
    return ReadyHook(node=post_to_slack.options(timeout_s=seconds + SPARE_S), arguments=arguments)


@node(name="slack", io=True, effect=True, retry=RETRY)
def post_to_slack(notice: dict[str, Any], url: Json, timeout_s: float) -> int:
    """Write a notice into a channel; returns the status that was answered."""
    address, hidden = read(url, "The address of a channel")
    headers = {"Idempotency-Key": current_node().idempotency_key}
    return post_json(address, _payload(notice), headers=headers, timeout_s=timeout_s, secrets=hidden)


def _payload(notice: Mapping[str, Any]) -> dict[str, Any]:
    """Plain text with the little formatting that all of them understand."""
    lines = [f"{_SIGNS.get(notice['occasion'], '')} *{_plain(headline(notice))}*".strip()]
    for word, text in details(notice):
        if "\n" in text.strip():
            lines += [f"{word}:", f"```\n{_plain(text.strip())}\n```"]
        else:
            lines.append(f"{word}: `{_plain(text.strip())}`")
    return {"text": "\n".join(lines)}


def _plain(text: str) -> str:
    """A text that formats nothing, links nothing and calls nobody."""
    escaped = (
        text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("`", "'").replace("*", "\u2217")
    )
    return _CALLS.sub("@\u200b", escaped)
