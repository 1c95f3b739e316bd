"""What nobody refers to lies aside for a while, and who asks for it finds it all the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from wfplatform.artifacts import Artifacts
from wfplatform.errors import StorageError


@pytest.fixture
def artifacts(tmp_path: Path) -> Artifacts:
    return Artifacts(str(tmp_path), inline_limit_bytes=0)


def stored(artifacts: Artifacts, value: object) -> dict[str, Any]:
    made = artifacts.store(value)
    made.make_durable()
    return made.output


def test_what_is_aside_is_put_back_by_who_asks_for_it(artifacts: Artifacts) -> None:
    output = stored(artifacts, "value")
    location = output["location"]
    assert artifacts.aside.put(location)
    assert artifacts.aside.locations() == [location]
    assert not artifacts.aside.put(location), "it is not at its place"
    assert artifacts.load(output) == "value"
    assert artifacts.aside.locations() == []
    artifacts.aside.put(location)
    assert artifacts.exists(location)
    assert artifacts.aside.locations() == []


def test_what_is_stored_again_meanwhile_has_its_own_bytes(artifacts: Artifacts) -> None:
    output = stored(artifacts, "value")
    artifacts.aside.put(output["location"])
    stored(artifacts, "value")
    assert artifacts.aside.delete(output["location"])
    assert not artifacts.aside.delete(output["location"])
    assert artifacts.load(output) == "value"


def test_what_was_deleted_is_missing(artifacts: Artifacts) -> None:
    output = stored(artifacts, "value")
    artifacts.aside.put(output["location"])
    artifacts.aside.delete(output["location"])
    assert not artifacts.exists(output["location"])
    assert not artifacts.aside.put_back(output["location"])
    with pytest.raises(StorageError) as caught:
        artifacts.load(output)
    assert caught.value.code == "artifact_missing"


def test_all_that_is_at_its_place_is_found(artifacts: Artifacts) -> None:
    outputs = [stored(artifacts, f"value {number}") for number in range(20)]
    artifacts.put_bytes("programs/abc", b"code")
    artifacts.aside.put(outputs.pop()["location"])
    found = {location: size for some in artifacts.aside.at_their_places() for location, size in some.items()}
    assert found == {output["location"]: output["size"] for output in outputs}
