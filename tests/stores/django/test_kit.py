"""The whole conformance kit on a store that runs on Django's connections."""

from __future__ import annotations

import pytest

from curae_lifecycle.testing.conformance import run
from tests.support.django_project import DjangoServed, database
from tests.support.kit import needing
from tests.support.served import NOT_THERE

ONE_ENVIRONMENT = "permission.wrong-environment"
OF_THE_FRONT = "idempotency.dates"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgres", marks=pytest.mark.heavy)])
def test_django_store_passes_every_conformance_check(
    kind: str, request: pytest.FixtureRequest
) -> None:
    with database(str(request.getfixturevalue(f"{kind}_url"))) as alias:
        served = DjangoServed(alias)
        # A connection of Django's belongs to the thread that opened it.
        seen = run(served.server(), seed="1", timeout=None)
        assert not seen.failed, str(seen)
        left = {ONE_ENVIRONMENT, OF_THE_FRONT, *needing(*NOT_THERE)}
        assert {each.check for each in seen.not_run} == left
