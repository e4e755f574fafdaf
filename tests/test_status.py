"""The HTTP statuses of problems: kept under a key, or not."""

from __future__ import annotations

import pytest

from curae_lifecycle.service.status import HttpStatus, is_kept, kept, not_kept


def test_a_status_is_kept_or_not() -> None:
    assert kept(409) == HttpStatus(409, kept=True)
    assert not_kept(422) == HttpStatus(422, kept=False)
    assert (str(kept(409)), str(not_kept(422))) == ("409, kept", "422, not kept")


@pytest.mark.parametrize("status", range(100, 600))
def test_a_response_is_kept_where_the_rule_itself_was_asked(status: int) -> None:
    assert is_kept(status) is (status // 100 == 2 or status in {404, 409})
