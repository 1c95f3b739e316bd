"""What is kept for reuse, as engines look it up and as forecasts tell of it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from tests.contract.steps import LONG_S, change, claimed, commit, engine, published
from wfplatform.core.canonical import digest
from wfplatform.core.identifier import DEFAULT_TENANT
from wfplatform.core.ports import Claim, NewCacheEntry, Publication
from wfplatform.errors import NotFoundError

OTHER = UUID(int=7)


def kept(claim: Claim, key: str, value: int, node: str = "load", expires_s: float | None = None) -> NewCacheEntry:
    text = str(value)
    return NewCacheEntry(
        tenant_id=DEFAULT_TENANT,
        key=key,
        execution_id=claim.id,
        node=node,
        element=(),
        outputs={"result": {"codec": "json", "size": len(text), "digest": digest(text.encode()), "value": value}},
        sizes={"result": value},
        expires_s=expires_s,
    )


def leave(
    subject: Any, engine_id: UUID, *entries: tuple[str, int], expires_s: float | None = None, **more: Any
) -> Claim:
    """An execution that leaves results under keys."""
    claim = claimed(subject, engine_id, **more)
    cache = [kept(claim, key, value, expires_s=expires_s) for key, value in entries]
    commit(subject, engine_id, claim, executions=[change(claim)], cache=cache)
    return claim


def test_a_result_is_found_under_its_key(subject: Any) -> None:
    mine = engine(subject)
    claim = leave(subject, mine, ("a", 3), ("b", 4))
    found = subject.store.cached(DEFAULT_TENANT, ["a", "b", "c"])
    assert {key: (one.outputs["result"]["value"], one.sizes, one.execution_id) for key, one in found.items()} == {
        "a": (3, {"result": 3}, claim.id),
        "b": (4, {"result": 4}, claim.id),
    }
    told = subject.past.kept(DEFAULT_TENANT, ["a", "c"])
    assert set(told) == {"a"}
    assert told["a"][:3] == found["a"]
    assert (told["a"].expires_at, told["a"].expired) == (None, False)


def test_the_newest_result_of_a_key_stands(subject: Any) -> None:
    mine = engine(subject)
    leave(subject, mine, ("a", 3))
    second = leave(subject, mine, ("a", 5))
    for found in (subject.store.cached(DEFAULT_TENANT, ["a"]), subject.past.kept(DEFAULT_TENANT, ["a"])):
        assert (found["a"].execution_id, found["a"].outputs["result"]["value"]) == (second.id, 5)


def test_a_result_that_has_expired_is_told_and_not_used(subject: Any) -> None:
    mine = engine(subject)
    claim = leave(subject, mine, ("old", 3), expires_s=-1.0)
    leave(subject, mine, ("young", 4), expires_s=LONG_S)
    assert set(subject.store.cached(DEFAULT_TENANT, ["old", "young"])) == {"young"}
    told = subject.past.kept(DEFAULT_TENANT, ["old", "young"])
    assert {key: one.expired for key, one in told.items()} == {"old": True, "young": False}
    assert told["old"].execution_id == claim.id
    assert told["young"].expires_at > told["young"].created_at


def test_another_tenant_finds_nothing(subject: Any) -> None:
    claim = leave(subject, engine(subject), ("a", 3))
    assert subject.store.cached(OTHER, ["a"]) == {}
    assert subject.past.kept(OTHER, ["a"]) == {}
    assert subject.past.latest(OTHER, claim.workflow_name) == {}


def test_the_latest_result_of_each_node_is_known(subject: Any) -> None:
    mine = engine(subject)
    leave(subject, mine, ("a", 3))
    second = leave(subject, mine, ("b", 3))
    found = subject.past.latest(DEFAULT_TENANT, second.workflow_name)
    assert {node: (one, version) for node, (one, _, version) in found.items()} == {
        "load": (second.id, second.version_id)
    }
    assert subject.past.latest(DEFAULT_TENANT, "unheard of") == {}


def test_costs_are_those_of_the_version_else_of_the_newest(subject: Any) -> None:
    versions = [published(subject, digest=name) for name in ("v1", "v2", "v3")]
    subject.store.learn({(versions[0].id, "load"): (1.0, 1), (versions[0].id, "sum"): (5.0, 1)})
    subject.store.learn({(versions[1].id, "load"): (2.0, 1)})
    assert subject.past.costs(DEFAULT_TENANT, "delays", "v1") == {"load": 1.0, "sum": 5.0}
    assert subject.past.costs(DEFAULT_TENANT, "delays", "v3") == {"load": 2.0, "sum": 5.0}
    assert subject.past.costs(DEFAULT_TENANT, "delays", "not published") == {"load": 2.0, "sum": 5.0}
    assert subject.past.costs(DEFAULT_TENANT, "others", "v1") == {}


def test_a_published_version_comes_with_its_code(subject: Any) -> None:
    made = subject.catalog.publish(
        DEFAULT_TENANT, Publication(name="delays", digest="d", document={"name": "delays"}, code=b"code")
    )
    version, code = subject.past.published(DEFAULT_TENANT, made.id)
    assert (version.id, version.document, code) == (made.id, {"name": "delays"}, b"code")
    with pytest.raises(NotFoundError):
        subject.past.published(DEFAULT_TENANT, OTHER)


@pytest.mark.parametrize("refresh", [(), ("*",), ("load", "sum")])
def test_what_is_to_be_computed_anew_comes_with_the_claim(subject: Any, refresh: tuple[str, ...]) -> None:
    claim = claimed(subject, engine(subject), refresh=refresh)
    assert claim.refresh == refresh
    assert subject.reader.execution(DEFAULT_TENANT, claim.id).refresh == refresh
