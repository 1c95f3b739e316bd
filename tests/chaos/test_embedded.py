"""A platform all its own, with the leases that users have, while each kind of trouble that fits into seconds strikes once."""

from __future__ import annotations

import secrets
import time
from pathlib import Path

import pytest

from tests.chaos.campaign import CROWDED_S, Account, Campaign, expected_results
from tests.chaos.platforms import embedded
from tests.chaos.promise import BrokenPromiseError, judge
from tests.chaos.trouble import ANYWHERE
from tests.chaos.witness import Line, read_lines

pytestmark = [pytest.mark.xdist_group("chaos-embedded"), pytest.mark.timeout(300)]


def tell_again(file: Path, line: Line) -> None:
    """A line that an attempt which must not be would write now."""
    element = ".".join(map(str, line.element)) or "-"
    with file.open("a", encoding="utf-8") as out:
        out.write(f"{line.execution} {line.node} {element} {line.attempt} {line.pid} {time.time():.6f}\n")


def test_what_is_killed_goes_on(home: Path) -> None:
    seed = secrets.randbelow(2**31)
    print(f"seed {seed}")
    account = Account()
    with embedded(home) as harmed:
        campaign = Campaign(harmed, seed=seed, expected=expected_results(home), account=account, recovery_s=CROWDED_S)
        campaign.run(ANYWHERE, 12)
        last = read_lines(harmed.lines)[-1]
        tell_again(harmed.lines, last)
        with pytest.raises(BrokenPromiseError, match="Nothing that is committed runs again"):
            judge(harmed, [], [])
    print(account.told())
    assert account.executions >= 12
    assert set(account.recoveries) == {kind.__name__ for kind in ANYWHERE}
