"""The cast of the SQL tests: their caller and user, and the actions on them."""

from __future__ import annotations

from typing import Final

from curae_lifecycle.rules.ratelimit import Bucket
from curae_lifecycle.rules.values import DataPackage
from curae_lifecycle.service.operations.create_connection import CreateConnection
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.testing.races import RaceTenant
from tests.support.server import API_KEY, CALLER
from tests.support.strategies import COORDINATE

SETTINGS: Final = Settings(
    buckets=(
        Bucket(name="platform", capacity=50, refill=1, seconds=60),
        Bucket(name="other", capacity=90, refill=7, seconds=60),
    )
)
USER: Final = COORDINATE.app_user_id
STAGE: Final = RaceTenant(
    caller=CALLER,
    api_key=API_KEY,
    user=USER,
    id_prefix="00000000",
    page_url_prefix="https://connect.example/",
    settings=SETTINGS,
)
DIGEST: Final = STAGE.digest
FIRST, SECOND = STAGE.first, STAGE.second
CREATE: Final = CreateConnection(USER, (DataPackage("labs"),))

asks, minted, works = STAGE.request_action, STAGE.new_ids, STAGE.actions
