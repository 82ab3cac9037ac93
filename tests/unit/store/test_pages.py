from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raylift.domain.errors import InvalidRequest
from raylift.store.statements.pages import decode_cursor, encode_cursor


@given(st.datetimes(timezones=st.just(UTC)), st.text(st.characters(exclude_categories=["Cs"])))
def test_cursor_round_trips_and_is_safe_in_a_url(created_at: datetime, job_id: str) -> None:
    cursor = encode_cursor(created_at, job_id)
    assert decode_cursor(cursor) == (created_at, job_id)
    assert cursor.replace("-", "").replace("_", "").isalnum()


@given(st.text(max_size=40))
def test_other_text_is_refused_as_a_cursor(text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        decode_cursor(text)
    assert [error.field for error in caught.value.errors] == ["cursor"]
