"""A platform all its own, with the leases that users have, while each kind of trouble that fits into seconds strikes once."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from tests.chaos.campaign import Account, Campaign, expected_results
from tests.chaos.platforms import embedded
from tests.chaos.trouble import ANYWHERE

pytestmark = [pytest.mark.xdist_group("chaos-embedded"), pytest.mark.timeout(300)]


def test_what_is_killed_goes_on(home: Path) -> None:
    seed = secrets.randbelow(2**31)
    print(f"seed {seed}")
    account = Account()
    with embedded(home) as harmed:
        Campaign(harmed, seed=seed, expected=expected_results(home), account=account).run(ANYWHERE, 12)
    print(account.told())
    assert account.executions >= 12
    assert set(account.recoveries) == {kind.__name__ for kind in ANYWHERE}
