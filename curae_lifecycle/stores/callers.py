"""The JSON text in which stores keep the caller of an API key."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Final

from curae_lifecycle.rules.credentials import Caller
from curae_lifecycle.stores.codec import dump, load
from curae_lifecycle.web.json import parse_json

CALLER_CACHE_SIZE: Final = 1024
"""The number of parsed callers that are cached, since every request parses one."""


def format_caller(caller: Caller) -> str:
    """Return a caller as JSON; equal callers give equal text.

    The text is ASCII, so that every database returns it unchanged.
    """
    return json.dumps(dump(caller))


@lru_cache(CALLER_CACHE_SIZE)
def parse_caller(text: str) -> Caller:
    """Return the caller from a text that `format_caller` of this or an earlier release returned.

    Raises:
        MalformedError: The text is not one that `format_caller` returned.
        NewerFormatError: A newer release stored the caller.
    """
    return load(Caller, parse_json(text))
