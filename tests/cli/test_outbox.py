"""Tests of what the command `outbox` prints before it deletes a message."""

from __future__ import annotations

import io
import json
import sys

import pytest

from curae_lifecycle.cli.outbox import _print
from curae_lifecycle.stores.outbox import Delivery


def test_printed_message_is_flushed_before_it_is_deleted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    raw = io.BytesIO()
    # Standard output in a pipe keeps what it is given until it is flushed.
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw))
    _print(Delivery(number=7, attempt=1, kind="AccessEnded", subject="s", document={"a": 1}))
    assert json.loads(raw.getvalue())["number"] == 7
