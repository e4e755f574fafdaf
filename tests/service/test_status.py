"""HTTP statuses, and whether a response with one is kept under its key."""

from __future__ import annotations

from curae_lifecycle.service.status import HttpStatus, is_kept, kept, not_kept


def test_str_of_http_status_says_if_its_response_is_stored() -> None:
    assert kept(409) == HttpStatus(409, kept=True)
    assert not_kept(422) == HttpStatus(422, kept=False)
    assert (str(kept(409)), str(not_kept(422))) == ("409, kept", "422, not kept")


def test_only_responses_of_2xx_404_and_409_are_stored() -> None:
    kept = {status for status in range(100, 600) if is_kept(status)}
    assert kept == {*range(200, 300), 404, 409}
