"""Notices that are posted to a real web service: what arrives, where it does not go, and what nobody gets to see."""

from __future__ import annotations

import hashlib
import hmac
import logging
import traceback
from collections.abc import Iterator
from typing import Any

import pytest

from tests.receivers import Answer, Web, web
from tests.unit.nodes.told import ID, told
from wfplatform import DefinitionError, NodeError, UnreachableError, UserError, env, webhook
from wfplatform.nodes.webhook import RETRY


@pytest.fixture
def service() -> Iterator[Web]:
    with web() as found:
        yield found


def cause(hook: Any, **changes: Any) -> BaseException:
    with pytest.raises(NodeError) as caught:
        told(hook, **changes)
    assert caught.value.__cause__ is not None
    return caught.value.__cause__


def test_what_is_posted(service: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "Bearer abc")
    assert told(webhook(f"{service.url}/a?b=1", headers={"Authorization": env("TOKEN"), "X-Team": "ops"})) == 200
    [posted] = service.posted
    assert posted.path == "/a?b=1"
    assert posted.headers["content-type"] == "application/json; charset=utf-8"
    assert (posted.headers["authorization"], posted.headers["x-team"]) == ("Bearer abc", "ops")
    document = posted.document
    assert (document["title"], document["executionId"]) == ("flights failed", str(ID))
    assert (document["occasion"], document["state"], document["parameters"]) == ("failure", "failed", {"year": 2013})
    assert document["error"] == {
        "type": "ValueError", "message": "no such year", "code": "", "node": "load", "element": [],
    }  # fmt: skip


def test_each_try_has_the_same_key(service: Web) -> None:
    service.answers = [Answer(status=500), Answer(status=429), Answer()]
    assert told(webhook(service.url)) == 200
    keys = [one.headers["idempotency-key"] for one in service.posted]
    assert len(keys) == 3
    assert len(set(keys)) == 1


def test_who_knows_the_secret_can_tell_who_posted(service: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK_SECRET", "s3cret")
    told(webhook(service.url, secret=env("HOOK_SECRET")))
    [posted] = service.posted
    at, _, digest = posted.headers["wfplatform-signature"].partition(",v1=")
    signed = f"{at.removeprefix('t=')}.".encode() + posted.body
    assert digest == hmac.new(b"s3cret", signed, hashlib.sha256).hexdigest()


def test_it_is_not_sent_on_to_another_host(service: Web) -> None:
    with web() as other:
        service.answers = [Answer(status=307, headers={"location": f"{other.url}/take"})]
        error = cause(webhook(service.url))
        assert isinstance(error, UserError)
        assert "not followed" in str(error)
        assert other.posted == []
    assert len(service.posted) == 1


@pytest.mark.parametrize(("status", "followed"), [(307, True), (308, True), (301, False), (302, False), (303, False)])
def test_it_is_sent_on_within_a_host_where_it_stays_the_same(service: Web, status: int, followed: bool) -> None:
    service.answers = [Answer(status=status, headers={"location": "/new"}), Answer()]
    if followed:
        assert told(webhook(service.url)) == 200
        assert [one.path for one in service.posted] == ["/", "/new"]
        assert service.posted[0].body == service.posted[1].body
    else:
        assert isinstance(cause(webhook(service.url)), UserError)
        assert len(service.posted) == 1


def test_who_sends_on_without_an_end_is_given_up(service: Web) -> None:
    service.answers = [Answer(status=308, headers={"location": "/"})]
    assert "without an end" in str(cause(webhook(service.url)))
    assert len(service.posted) == 4


def test_what_was_refused_is_not_tried_again_and_what_failed_is(service: Web) -> None:
    service.answers = [Answer(status=404, body=b"<b>no such\r\nhook</b>")]
    error = cause(webhook(service.url))
    assert isinstance(error, UserError)
    assert "404: <b>no such hook</b>" in str(error)
    assert len(service.posted) == 1
    service.answers = [Answer(status=503)]
    assert isinstance(cause(webhook(service.url)), UnreachableError)
    assert len(service.posted) == 1 + RETRY.attempts


def test_an_answer_without_an_end_is_not_read_to_it(service: Web) -> None:
    service.answers = [Answer(status=400, body=b"x" * 50_000_000)]
    assert len(str(cause(webhook(service.url)))) < 1000


def test_nobody_answers() -> None:
    error = cause(webhook("http://127.0.0.1:1/secret-path"))
    assert isinstance(error, UnreachableError)
    assert "secret-path" not in "".join(traceback.format_exception(error))


def test_an_address_that_is_a_secret_stands_nowhere(
    service: Web, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("ALERTS_URL", f"{service.url}/T000/very-secret")
    hook = webhook(env("ALERTS_URL"))
    assert "very-secret" not in str(hook)
    told(hook)
    for said in (f"no {service.url}/T000/very-secret", "Cannot POST /T000/very-secret", "no hook very-secret here"):
        service.answers = [Answer(status=403, body=said.encode())]
        error = cause(hook)
        assert "403" in str(error)
        assert "very-secret" not in "".join(traceback.format_exception(error))
    assert "very-secret" not in caplog.text
    assert [one.path for one in service.posted] == ["/T000/very-secret"] * 4
    monkeypatch.setenv("ALERTS_URL", "very-secret")
    assert "very-secret" not in "".join(traceback.format_exception(cause(hook)))


def test_large_parameters_are_left_out(service: Web) -> None:
    told(webhook(service.url), parameters={"xs": ["€" * 100] * 1000})
    told(webhook(service.url), parameters={"xs": ["€" * 100] * 100})
    assert [one.document["parameters"] is None for one in service.posted] == [True, False]


@pytest.mark.parametrize(
    "url",
    ["", "example.org", "ftp://example.org", "http://", "http://a b.org", "http://a.org/\r\nx", "http://u:p@example.org",
     "http://a.org:99999", "http://[::1", 5],
)  # fmt: skip
def test_an_address_is_one(url: Any) -> None:
    with pytest.raises(DefinitionError, match="expects the address of a web service"):
        webhook(url)


@pytest.mark.parametrize(
    "headers",
    [{"X Y": "a"}, {"X": "a\r\nY: b"}, {"X": "é"}, {"": "a"}, {"Host": "a"}, {"content-type": "a"}, {"X": 5},
     {"Idempotency-Key": "a"}, {"X\r\nY": "a"}],
)  # fmt: skip
def test_a_header_is_one_line_of_your_own(headers: Any) -> None:
    with pytest.raises(DefinitionError, match="header"):
        webhook("https://example.org", headers=headers)


def test_a_header_from_the_environment_is_one_line_too(service: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "a\r\nX-Evil: b")
    error = cause(webhook(service.url, headers={"X": env("TOKEN")}))
    assert "one line" in str(error)
    assert "Evil" not in str(error)
    assert service.posted == []


@pytest.mark.parametrize("timeout_s", [0, -1, 301, True, "10", float("nan")])
def test_a_time_is_one(timeout_s: Any) -> None:
    with pytest.raises(DefinitionError, match="timeout_s"):
        webhook("https://example.org", timeout_s=timeout_s)


def test_a_secret_does_not_stand_in_the_definition() -> None:
    with pytest.raises(DefinitionError, match="must not stand in the definition") as caught:
        webhook("https://example.org", secret="hunter2")  # type: ignore[arg-type]
    assert "hunter2" not in str(caught.value)
    for name in ("", "A B", "1A", "A=B"):
        with pytest.raises(DefinitionError, match="name of an environment variable"):
            env(name)
