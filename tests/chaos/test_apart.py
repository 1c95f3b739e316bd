"""Engines behind a network, while everything that can happen to a network, a lease or a database strikes once."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from tests.chaos.campaign import CROWDED_S, Account, Campaign, expected_results
from tests.chaos.platforms import apart
from tests.chaos.trouble import NETWORKED

pytestmark = [pytest.mark.xdist_group("chaos-apart"), pytest.mark.timeout(300)]


def test_what_is_cut_off_goes_on(home: Path) -> None:
    seed = secrets.randbelow(2**31)
    print(f"seed {seed}")
    account = Account()
    with apart(home) as harmed:
        campaign = Campaign(harmed, seed=seed, expected=expected_results(home), account=account, recovery_s=CROWDED_S)
        campaign.run(NETWORKED, 12)
    print(account.told())
    assert account.executions >= 12
    assert set(account.recoveries) == {kind.__name__ for kind in NETWORKED}
