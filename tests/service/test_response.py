"""Stored responses of a type that the package does not define."""

from __future__ import annotations

import pytest

from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.idempotency import StoredResponse
from curae_lifecycle.service.response import status_of_stored


class Elsewhere(StoredResponse):
    def to_storable(self) -> Elsewhere:
        return self


def test_reading_status_of_unknown_stored_response_class_raises() -> None:
    with pytest.raises(ArgumentError, match=r"^response: must be a Response or a ResponseRef"):
        status_of_stored(Elsewhere())
