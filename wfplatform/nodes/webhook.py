"""`webhook(...)`: a notice as JSON to any web service, with a key against doubles and, if wanted, a signature."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from wfplatform.authoring.context import current_node
from wfplatform.authoring.hook import ReadyHook
from wfplatform.authoring.node import node
from wfplatform.core.graph import Json
from wfplatform.core.policy import Retry
from wfplatform.errors import DefinitionError
from wfplatform.nodes.http import SIGNATURE, checked_url, post_json
from wfplatform.nodes.message import headline
from wfplatform.nodes.variable import Variable, is_control, read, written

__all__ = ["MAX_TIMEOUT_S", "RETRY", "SPARE_S", "checked_timeout", "post_notice", "webhook"]

MAX_TIMEOUT_S: Final = 300.0
SPARE_S: Final = 30.0
"""A try may take so much longer than one wait for the other side."""
RETRY: Final = Retry(
    attempts=6, delay_s=2.0, backoff=4.0, jitter=0.2, max_delay_s=600.0, never_on=("wfplatform.errors.UserError",)
)
"""For about eleven minutes; what is refused is not tried again."""

_HEADER: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_OWN: Final = frozenset(
    {
        *("connection", "content-length", "content-type", "host", "idempotency-key", "transfer-encoding", "user-agent"),
        SIGNATURE.lower(),
    }
)
_MOST_HEADERS: Final = 50
_PARAMETERS_BYTES: Final = 128 * 1024


def webhook(
    url: str | Variable,
    *,
    headers: Mapping[str, str | Variable] | None = None,
    secret: Variable | None = None,
    timeout_s: float = 10.0,
) -> ReadyHook:
    """A hook that posts the notice as JSON.

    Args:
        url: where to; `env("NAME")` if it is a secret.
        headers: sent along; values that are secrets as `env("NAME")`.
        secret: signs the body: header `Wfplatform-Signature`, `t=SECONDS,v1=HEX`, HMAC-SHA256 over `SECONDS.BODY`.
        timeout_s: seconds to wait for the other side, above 0 and at most 300.

    Raises:
        DefinitionError: an address, a header or a time that does not fit.
    """
    given: dict[str, Json] = {}
    for name, value in (headers or {}).items():
        given[name] = _checked_header(name, value)
    if len(given) > _MOST_HEADERS:
        raise DefinitionError("bad_header", f"webhook() takes at most {_MOST_HEADERS} headers, got {len(given)}.")
    if secret is not None and not isinstance(secret, Variable):
        raise DefinitionError(
            "bad_secret",
            f"webhook(): the secret must not stand in the definition; expected env(...), got {type(secret).__name__}.",
            'Write secret=env("HOOK_SECRET"), and set that where the workers are started.',
        )
    seconds = checked_timeout("webhook", timeout_s)
    arguments: dict[str, Json] = {
        "url": written(url if isinstance(url, Variable) else checked_url(url, "webhook()")),
        "headers": given,
        "secret": None if secret is None else written(secret),
        "timeout_s": seconds,
    }
    return ReadyHook(node=post_notice.options(timeout_s=seconds + SPARE_S), arguments=arguments)


def checked_timeout(what: str, timeout_s: object) -> float:
    """The time to wait for another side.

    Raises:
        DefinitionError: it does not fit.
    """
    is_number = isinstance(timeout_s, int | float) and not isinstance(timeout_s, bool)
    if not is_number or not 0 < float(timeout_s) <= MAX_TIMEOUT_S:  # type: ignore[arg-type]
        raise DefinitionError(
            "bad_timeout", f"{what}(): timeout_s must be above 0 and at most {MAX_TIMEOUT_S:g} s, got {timeout_s!r}."
        )
    return float(timeout_s)  # type: ignore[arg-type]


@node(name="webhook", io=True, effect=True, retry=RETRY)
def post_notice(notice: dict[str, Any], url: Json, headers: dict[str, Json], secret: Json, timeout_s: float) -> int:
    """Post a notice to a web service; returns the status that it answered."""
    address, hidden = read(url, "The address of a webhook")
    sent = {}
    for name, value in headers.items():
        sent[name], more = read(value, f"The header {name} of a webhook")
        hidden |= more
        _checked_header(name, sent[name])
    key, more = ("", frozenset()) if secret is None else read(secret, "The secret of a webhook")
    sent["Idempotency-Key"] = current_node().idempotency_key
    return post_json(address, _document(notice), headers=sent, timeout_s=timeout_s, key=key, secrets=hidden | more)


def _document(notice: Mapping[str, Any]) -> dict[str, Any]:
    """What is posted; parameters that are large are left out."""
    parameters = notice["parameters"]
    fits = len(json.dumps(parameters, ensure_ascii=False).encode("utf-8", "replace")) <= _PARAMETERS_BYTES
    return {
        "title": headline(notice),
        "occasion": notice["occasion"],
        "executionId": notice["execution_id"],
        "workflow": notice["workflow"],
        "version": notice["version"],
        "state": notice["state"],
        "parameters": parameters if fits else None,
        "error": notice["error"],
        "createdAt": notice["created_at"],
        "startedAt": notice["started_at"],
        "finishedAt": notice["finished_at"],
        "durationS": notice["duration_s"],
        "createdBy": notice["created_by"],
        "tags": notice["tags"],
        "lateAfterS": notice["late_after_s"],
        "waitingFor": notice["waiting_for"],
    }


def _checked_header(name: object, value: object) -> Json:
    if not isinstance(name, str) or not _HEADER.fullmatch(name) or name.lower() in _OWN:
        raise DefinitionError("bad_header", f"webhook(): expected the name of a header of your own, got {name!r}.")
    if isinstance(value, Variable):
        return written(value)
    if not isinstance(value, str) or not value.isascii() or any(is_control(one) for one in value):
        raise DefinitionError(
            "bad_header",
            f"webhook(): the header {name} expects one line of ASCII text.",
            'A value that is a secret is read on the worker: env("NAME").',
        )
    return value
