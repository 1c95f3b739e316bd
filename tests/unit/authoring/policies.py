"""Random policies of nodes."""

from __future__ import annotations

from hypothesis import strategies as st

from wfplatform.core.policy import (
    Across,
    Breaker,
    Cache,
    Lane,
    Limit,
    OnFailure,
    OnOpen,
    OnSkip,
    Policy,
    Retry,
)

__all__ = ["POLICIES", "SECONDS", "TEXT"]

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
SECONDS = st.floats(0.001, 86_400)
RETRIES = st.builds(
    Retry,
    attempts=st.integers(1, 9),
    delay_s=SECONDS,
    backoff=st.floats(1, 9),
    jitter=st.floats(0, 1),
    max_delay_s=SECONDS,
    on=st.lists(TEXT.filter(bool), max_size=2).map(tuple),
    never_on=st.lists(TEXT.filter(bool), max_size=2).map(tuple),
)
WORDS = st.lists(TEXT.filter(bool), max_size=2).map(tuple)
CACHES = st.builds(
    Cache,
    expires_s=st.none() | SECONDS,
    salt=TEXT,
    ignore=st.lists(TEXT, max_size=2).map(tuple),
    packages=WORDS,
    variables=WORDS,
)
POLICIES = st.builds(
    Policy,
    retry=st.none() | RETRIES,
    timeout_s=st.none() | SECONDS,
    cache=st.none() | CACHES,
    lane=st.sampled_from(Lane),
    resources=st.dictionaries(TEXT, SECONDS, max_size=2),
    priority=st.integers(-9, 9),
    limit=st.none()
    | st.builds(Limit, TEXT.filter(bool), st.integers(1, 9), st.sampled_from(Across), st.none() | TEXT.filter(bool)),
    breaker=st.none()
    | st.builds(
        Breaker,
        TEXT.filter(bool),
        failure_share=st.floats(0.01, 1),
        calls=st.integers(1, 99),
        window_s=st.floats(0.1, 1e4),
        open_s=st.floats(0.1, 1e4),
        on_open=st.sampled_from(OnOpen),
    ),
    on_failure=st.sampled_from(OnFailure),
    on_skip=st.sampled_from(OnSkip),
    effect=st.booleans(),
    tags=st.lists(TEXT, max_size=2).map(tuple),
)
