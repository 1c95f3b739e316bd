"""`mail(...)`: a notice as mail, by the SMTP server that the worker is told of.

Refuses line ends in anything that becomes a header, and a password over a connection that anybody can read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Any, Final

from wfplatform.authoring.context import current_node
from wfplatform.authoring.hook import ReadyHook
from wfplatform.authoring.node import node
from wfplatform.core.graph import Json
from wfplatform.errors import DefinitionError, UserError
from wfplatform.nodes.mail_server import MailServer, is_address
from wfplatform.nodes.message import details, headline, one_line
from wfplatform.nodes.variable import Variable, is_control, read, written
from wfplatform.nodes.webhook import RETRY, SPARE_S, checked_timeout

__all__ = ["mail", "send_notice"]

_MOST: Final = 100
_SUBJECT: Final = 200


def mail(
    to: str | Variable | Sequence[str | Variable], *, subject: str | None = None, timeout_s: float = 30.0
) -> ReadyHook:
    """A hook that sends a mail.

    Args:
        to: an address or several; `env("NAME")` stands for one or several, with commas between them.
        subject: one line; default: what happened, as `flights failed`.
        timeout_s: seconds to wait for the server, above 0 and at most 300.

    Raises:
        DefinitionError: an address, a subject or a time that does not fit.
    """
    several = [to] if isinstance(to, str | Variable) else list(to)
    if not 0 < len(several) <= _MOST:
        raise DefinitionError("bad_address", f"mail() expects 1 to {_MOST} addresses, got {len(several)}.")
    if subject is not None and not _is_subject(subject):
        raise DefinitionError(
            "bad_subject", f"mail() expects a subject of one line and at most {_SUBJECT} characters, got {subject!r}."
        )
    seconds = checked_timeout("mail", timeout_s)
    arguments: dict[str, Json] = {
        "to": [written(one) if isinstance(one, Variable) else _checked(one) for one in several],
        "subject": subject,
        "timeout_s": seconds,
    }
    return ReadyHook(node=send_notice.options(timeout_s=2 * seconds + SPARE_S), arguments=arguments)


@node(name="mail", io=True, effect=True, retry=RETRY)
def send_notice(notice: dict[str, Any], to: list[Json], subject: str | None, timeout_s: float) -> int:
    """Send a notice by mail; returns to how many addresses."""
    addresses: list[str] = []
    hidden: frozenset[str] = frozenset()
    for one in to:
        text, secret = read(one, "The address of a mail")
        found = [part.strip() for part in text.split(",")]
        hidden |= secret | (frozenset(found) if secret else frozenset())
        addresses += [_address(part, is_secret=bool(secret)) for part in found]
    server = MailServer.from_environment()
    message = _message(notice, server.sender, dict.fromkeys(addresses), subject, current_node().idempotency_key)
    taken = server.send(message, list(dict.fromkeys(addresses)), timeout_s=timeout_s, secrets=hidden)
    if taken < len(set(addresses)):
        current_node().log.warning("some addresses were refused", extra={"taken": taken, "given": len(set(addresses))})
    return taken


def _message(notice: Mapping[str, Any], sender: str, to: Iterable[str], subject: str | None, key: str) -> EmailMessage:
    """The same message has the same identifier however often it is tried, so that a double can be told."""
    message = EmailMessage(policy=SMTP)
    message["From"] = Address(addr_spec=sender)
    message["To"] = [Address(addr_spec=one) for one in to]
    message["Subject"] = one_line(subject or headline(notice), _SUBJECT)
    message["Date"] = format_datetime(datetime.now(UTC))
    domain = sender.rpartition("@")[2]
    message["Message-ID"] = f"<{hashlib.sha256(key.encode()).hexdigest()[:40]}@{domain}>"
    message["Auto-Submitted"] = "auto-generated"
    lines = [f"{headline(notice)}.", ""]
    lines += [f"{word}: {text}" for word, text in details(notice)]
    message.set_content("\n".join(lines) + "\n")
    return message


def _checked(address: object) -> str:
    if not isinstance(address, str) or not is_address(address):
        raise DefinitionError(
            "bad_address",
            f"mail() expects an address as ann@example.org, got {address!r}.",
            'Several are given as a list; what must not stand here is read on the worker: env("NAME").',
        )
    return address


def _address(address: str, *, is_secret: bool) -> str:
    if not is_address(address):
        shown = "what stands in an environment variable" if is_secret else repr(address)
        raise UserError("bad_address", f"Expected a mail address as ann@example.org, got {shown}.")
    return address


def _is_subject(subject: object) -> bool:
    is_text = isinstance(subject, str) and subject.strip() and len(subject) <= _SUBJECT
    return bool(is_text) and not any(map(is_control, str(subject)))
