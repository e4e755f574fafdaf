"""What a server answers where something went wrong that nobody foresaw."""

from __future__ import annotations

import logging
from typing import Final

from settings import SETTINGS

from curae_lifecycle import Response
from curae_lifecycle.stores.serving import given_up

_LOG: Final = logging.getLogger(__name__)


def failed(error: Exception) -> Response:
    """A problem that may be retried; nothing was stored, or a retry is answered what was.

    Only the kind of the error is logged: its text could repeat what a request held.
    """
    _LOG.error("a request failed: %s", type(error).__name__)
    return given_up(SETTINGS).response
