"""Posting JSON over HTTP: the only place that knows the HTTP library.

Refuses redirects to other hosts, answers without an end, and telling anybody an address that is a secret.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import unquote, urljoin, urlsplit

from wfplatform.errors import DefinitionError, UnreachableError, UserError
from wfplatform.nodes.message import one_line
from wfplatform.nodes.variable import is_control, masked

__all__ = ["MAX_BODY_BYTES", "SIGNATURE", "checked_url", "post_json", "signature"]

MAX_BODY_BYTES: Final = 256 * 1024
SIGNATURE: Final = "Wfplatform-Signature"

_ANSWER_BYTES: Final = 4096
_REDIRECTS: Final = 3
_TELLING: Final = 4
"""A shorter part of an address gives nothing away."""
_AGAIN: Final = frozenset({408, 425, 429})
"""Besides those from 500 on: the same may be accepted later."""
_PORTS: Final = {"http": 80, "https": 443}


def checked_url(url: object, what: str) -> str:
    """An address that can be posted to.

    Raises:
        DefinitionError: it is none; the message does not repeat it, because it may hold a secret.
    """
    problem = ""
    if not isinstance(url, str) or not url.strip():
        problem = f"it is {type(url).__name__}" if not isinstance(url, str) else "it is empty"
    elif any(is_control(one) or one.isspace() for one in url):
        problem = "it has spaces or line ends in it"
    else:
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname, parts.port
        except ValueError:
            problem = "it is malformed"
        else:
            if parts.scheme not in _PORTS or not host:
                problem = "it does not begin with http:// or https:// and a host"
            elif parts.username is not None or parts.password is not None:
                problem = "it holds a name or password, which belong into a header"
    if problem:
        raise DefinitionError(
            "bad_url",
            f"{what} expects the address of a web service, as https://example.org/hook: {problem}.",
            'An address that is a secret is read on the worker: url=env("ALERTS_URL").',
        )
    return str(url)


def post_json(
    url: str,
    content: Mapping[str, Any],
    *,
    headers: Mapping[str, str],
    timeout_s: float,
    key: str = "",
    secrets: Collection[str] = (),
) -> int:
    """Post JSON and see that it was accepted.

    Args:
        url: where to.
        content: at most `MAX_BODY_BYTES` as text.
        headers: besides those of JSON.
        timeout_s: for the connection, and for each wait for the other side.
        key: signs the body, if it is not empty.
        secrets: what must stand in no message.

    Returns:
        the status, 200 to 299.

    Raises:
        UnreachableError: nobody answers, or the service is in trouble: it may go well later.
        UserError: it was refused, and would be again.
    """
    import httpx  # noqa: PLC0415  # only who posts pays for it

    checked_url(url, "What is posted to")
    body = json.dumps(content, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")
    if len(body) > MAX_BODY_BYTES:
        raise UserError("body_too_large", f"Expected a body of at most {MAX_BODY_BYTES} bytes, got {len(body)}.")
    sent = {
        **headers,
        "content-type": "application/json; charset=utf-8",
        "user-agent": "wfplatform",
        "accept-encoding": "identity",
    }
    if key:
        sent[SIGNATURE] = signature(key, body, int(time.time()))
    secrets = {*secrets, *(_parts(url) if url in secrets else ())}
    name = _place(url)
    at = url
    try:
        with _unheard(), httpx.Client(timeout=httpx.Timeout(timeout_s), follow_redirects=False) as client:
            for _ in range(_REDIRECTS + 1):
                with client.stream("POST", at, content=body, headers=sent) as response:
                    status, location = response.status_code, response.headers.get("location", "")
                    said = b"" if response.is_success else _beginning(response.iter_raw())
                if not response.is_redirect:
                    break
                at = _next(at, status, location, name)
            else:
                raise UserError("too_many_redirects", f"{name} leads from one address to another without an end.")
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
        told = masked(one_line(str(error), 300), secrets)
        raise UnreachableError(
            "not_answered", f"{name} does not answer: {type(error).__name__}: {told}", "It is tried again."
        ) from None
    if 200 <= status < 300:
        return status
    answer = masked(one_line(said.decode("utf-8", "replace"), 300), secrets)
    message = f"{name} answered {status}" + (f": {answer}" if answer else ".")
    if status in _AGAIN or status >= 500:
        raise UnreachableError("not_accepted", message, "It is tried again.", status=status)
    raise UserError("refused", message, "See to the address, the headers and what the service expects.", status=status)


def signature(key: str, body: bytes, at_s: int) -> str:
    """`t=SECONDS,v1=HEX`: HMAC-SHA256 over the seconds since 1970, a dot and the body. Who checks it refuses what is old."""
    digest = hmac.new(key.encode("utf-8", "surrogateescape"), f"{at_s}.".encode() + body, hashlib.sha256)
    return f"t={at_s},v1={digest.hexdigest()}"


def _next(at: str, status: int, location: str, name: str) -> str:
    """Where a redirect leads, if the same may be posted there."""
    found = urljoin(at, location)
    here, there = urlsplit(at), urlsplit(found)
    same_host = here.hostname == there.hostname
    upgraded = (here.scheme, there.scheme) == ("http", "https")
    if status in (307, 308) and same_host and (upgraded or _origin(at) == _origin(found)):
        return found
    raise UserError(
        "redirected",
        f"{name} answered {status} and sends on to another address, which is not followed.",
        "Give the address where it is to be posted to itself.",
        status=status,
    )


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme)


def _place(url: str) -> str:
    """Scheme and host: what comes after them may be a secret."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")


def _parts(url: str) -> set[str]:
    """What of an address that is a secret somebody could repeat: services tell a path they do not know."""
    parts = urlsplit(url)
    words = [parts.path, parts.query, unquote(parts.path), *parts.path.split("/"), *parts.query.split("&")]
    return {word for word in words if len(word) >= _TELLING}


def _beginning(pieces: Iterator[bytes]) -> bytes:
    found = b""
    for piece in pieces:
        found += piece[: _ANSWER_BYTES - len(found)]
        if len(found) >= _ANSWER_BYTES:
            break
    return found


@contextmanager
def _unheard() -> Iterator[None]:
    """The library logs the address of each call; in this thread it does not."""
    me = threading.get_ident()

    def is_anothers(record: logging.LogRecord) -> bool:
        return record.thread != me

    loggers = [
        logging.getLogger(name) for name in ("httpx", "httpcore.connection", "httpcore.http11", "httpcore.proxy")
    ]
    for one in loggers:
        one.addFilter(is_anothers)
    try:
        yield
    finally:
        for one in loggers:
            one.removeFilter(is_anothers)
