"""Mail that is sent to a real server: what stands in it, what can never stand in it, and what is not tried again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.receivers import Letters, letters
from tests.unit.nodes.told import ID, told
from wfplatform import DefinitionError, NodeError, SettingsError, UnreachableError, UserError, env, mail
from wfplatform.core.notice import Failure


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Letters]:
    with letters() as found:
        monkeypatch.setenv("WFP_SMTP_HOST", "127.0.0.1")
        monkeypatch.setenv("WFP_SMTP_PORT", str(found.port))
        monkeypatch.setenv("WFP_SMTP_SECURITY", "none")
        monkeypatch.setenv("WFP_SMTP_SENDER", "platform@example.org")
        yield found


def cause(hook: Any, **changes: Any) -> BaseException:
    with pytest.raises(NodeError) as caught:
        told(hook, **changes)
    assert caught.value.__cause__ is not None
    return caught.value.__cause__


def test_a_mail_says_what_happened_and_how_to_look_at_it(server: Letters) -> None:
    assert told(mail(["ann@example.org", "bob@example.org"])) == 2
    [(to, message)] = server.taken
    assert to == ["ann@example.org", "bob@example.org"]
    assert (message["From"], message["Subject"]) == ("platform@example.org", "flights failed")
    assert message["To"] == "ann@example.org, bob@example.org"
    assert message["Auto-Submitted"] == "auto-generated"
    text = message.get_content()
    assert "ValueError: no such year (node load)" in text
    assert "Took: 1.5 min" in text
    assert f"wfp executions show {ID}" in text
    assert "2013" not in text, "parameters may be nobody's business"


def test_the_same_mail_has_the_same_identifier_however_often_it_is_sent(server: Letters) -> None:
    answers = iter(["451 later", "250 OK"])
    server.answer = lambda address: next(answers)
    assert told(mail("ann@example.org")) == 1
    assert len(server.taken) == 1
    assert server.taken[0][1]["Message-ID"].endswith("@example.org>")


@pytest.mark.parametrize("name", ["flights\r\nBcc: eve@example.org", "flights\nBcc: eve@example.org", "a\x07b\u2028c"])
def test_nothing_that_is_told_becomes_a_header(server: Letters, name: str) -> None:
    told(mail("ann@example.org"), workflow=name, error=Failure(type="E", message="x\r\n.\r\nBcc: eve@example.org"))
    [(to, message)] = server.taken
    assert to == ["ann@example.org"]
    assert message["Bcc"] is None
    assert message["Subject"].endswith(" failed")
    assert len(message["Subject"].splitlines()) == 1


@pytest.mark.parametrize("subject", ["a\r\nBcc: eve@example.org", "a\nb", "a\x0bb", "", " ", "x" * 201])
def test_a_subject_is_one_line(subject: str) -> None:
    with pytest.raises(DefinitionError, match="subject of one line"):
        mail("ann@example.org", subject=subject)


def test_a_subject_may_be_given(server: Letters) -> None:
    told(mail("ann@example.org", subject="Flüge: schon wieder"))
    assert server.taken[0][1]["Subject"] == "Flüge: schon wieder"


@pytest.mark.parametrize(
    "address",
    ["ann", "@example.org", "ann@", "ann@example.org\r\nBcc: eve@example.org", "a b@example.org", "Ann <a@example.org>",
     "a@example.org,b@example.org", "ann@-x.org", "a" * 65 + "@example.org"],
)  # fmt: skip
def test_an_address_is_one(address: str) -> None:
    with pytest.raises(DefinitionError, match=r"an address as ann@example\.org"):
        mail(address)
    with pytest.raises(DefinitionError, match="1 to 100 addresses"):
        mail([])


def test_addresses_stand_in_the_environment_of_the_worker_and_nowhere_else(
    server: Letters, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPS", "ann@example.org, bob@example.org")
    hook = mail(env("OPS"))
    assert "example.org" not in str(hook.arguments)
    assert told(hook) == 2
    server.answer = lambda address: f"550 no {address} here"
    error = cause(hook)
    assert isinstance(error, UserError)
    assert "550" in str(error)
    assert "ann" not in str(error)
    monkeypatch.setenv("OPS", "ann@example.org\r\nBcc: eve@example.org")
    assert "eve" not in str(cause(hook))
    monkeypatch.delenv("OPS")
    assert "OPS, which is not set on this worker" in str(cause(hook))


def test_some_addresses_that_are_refused_keep_the_others_from_nothing(server: Letters) -> None:
    server.answer = lambda address: "550 no" if address.startswith("bob") else "250 OK"
    assert told(mail(["ann@example.org", "bob@example.org"])) == 1
    assert [to for to, _ in server.taken] == [["ann@example.org"]]


def test_what_may_go_well_later_is_told_apart_from_what_will_not(
    server: Letters, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answer = lambda address: "451 later"
    assert isinstance(cause(mail("ann@example.org")), UnreachableError)
    monkeypatch.setenv("WFP_SMTP_SECURITY", "starttls")
    assert isinstance(cause(mail("ann@example.org")), UserError), "the server offers no encryption"
    monkeypatch.setenv("WFP_SMTP_SECURITY", "none")
    monkeypatch.setenv("WFP_SMTP_PORT", "1")
    assert isinstance(cause(mail("ann@example.org")), UnreachableError)


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("HOST", "", "WFP_SMTP_HOST is not set"),
        ("SENDER", "", "WFP_SMTP_SENDER is not set"),
        ("SENDER", "a\r\nb@example.org", "WFP_SMTP_SENDER: expected an address"),
        ("SECURITY", "ssl", "expected one of starttls, tls, none"),
        ("PORT", "70000", "WFP_SMTP_PORT"),
        ("USER", "ann", "for anybody to read"),
    ],
)
def test_what_is_set_wrong_is_said(
    server: Letters, monkeypatch: pytest.MonkeyPatch, name: str, value: str, sentence: str
) -> None:
    monkeypatch.setenv(f"WFP_SMTP_{name}", value)
    monkeypatch.setenv("WFP_SMTP_PASSWORD", "hunter2")
    error = cause(mail("ann@example.org"))
    assert isinstance(error, SettingsError)
    assert sentence in str(error)
    assert "hunter2" not in str(error)
    assert server.taken == []
