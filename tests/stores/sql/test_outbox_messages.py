"""Tests of the messages in the outbox, and of the program on the outbox page."""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from collections.abc import Iterator
from typing import ClassVar

import attrs
import pytest
import sqlalchemy as sa

from curae_lifecycle.replay import log as logs
from curae_lifecycle.rules.credentials import CONNECTION_WRITE, ApiKey, Caller
from curae_lifecycle.rules.values import ApiKeyId, AppId, CustomerAccountId, Environment
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.events import EventKind
from curae_lifecycle.service.hosted_page import HostedPage
from curae_lifecycle.service.writes import BindingWrite, ConnectionWrite, SessionWrite
from curae_lifecycle.stores.contract import Loaded
from curae_lifecycle.stores.memory import MemoryStore
from curae_lifecycle.stores.new_ids import RandomIds
from curae_lifecycle.stores.outbox import messages
from curae_lifecycle.stores.serve import serve
from curae_lifecycle.stores.sql.engine import SqlDatabase, create_engine
from curae_lifecycle.stores.sql.store import SqlStore
from curae_lifecycle.web.request import Request
from tests.proof.reference.traffic import traffic
from tests.stores.sql.posting import database, url
from tests.support.paths import ROOT

__all__ = ["database", "url"]

CALLER = Caller(
    api_key_id=ApiKeyId("key-1"),
    app_id=AppId("app-1"),
    customer_account_id=CustomerAccountId("d8c60791-7301-441c-98e8-5bea9a162d9b"),
    environment=Environment.LIVE,
    scopes=frozenset({CONNECTION_WRITE}),
)


class Noted(MemoryStore):
    """A store that keeps the changes of every commit."""

    seen: ClassVar[list[Changes]] = []

    def commit(self, loaded: Loaded, changes: Changes, page: HostedPage | None = None) -> bool:
        stored = super().commit(loaded, changes, page)
        if stored:
            self.seen.append(changes)
        return stored


def written(changes: Changes) -> Iterator[str]:
    """Yield the subjects of the writes of a commit, as messages name them."""
    for write in changes.writes:
        match write:
            case ConnectionWrite(_, after) | SessionWrite(_, after):
                yield after.id
            case BindingWrite(_, after):
                yield json.dumps(attrs.astuple(after.coordinate))
            case _:
                pass


@pytest.mark.slow
def test_outbox_message_is_about_a_value_that_its_commit_writes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Messages about one subject are numbered in commit order: a message gets its number after its
    # subject was read, and no other commit writes the subject in between.
    Noted.seen.clear()
    monkeypatch.setattr(logs, "MemoryStore", Noted)
    for seed in range(8):
        for _ in logs.replay(traffic(seed, 400)):
            pass
    kinds: Counter[str] = Counter()
    for changes in Noted.seen:
        for message in messages(changes):
            kinds[message.kind] += 1
            assert message.subject in set(written(changes)), message.kind
    effects = {"AccessEnded", "HandoffCancelled", "NextActionReplaced", "UserProvisioned"}
    assert kinds.keys() >= effects | {each.value for each in EventKind}


def test_program_in_the_outbox_docs_page_delivers_its_messages(
    url: str, database: SqlDatabase
) -> None:
    page = (ROOT / "docs/outbox.md").read_text(encoding="utf-8")
    program = re.search(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert program is not None
    store = SqlStore(database)
    store.register(ApiKey("cae_live_k1"), CALLER)
    headers = (("Authorization", "Bearer cae_live_k1"), ("Idempotency-Key", "k"))
    target = "/api/sdk/v1/curae-connect/initiate"
    request = Request(method="POST", target=target, headers=headers, body=b'{"appUserId": "ada"}')
    assert serve(store, request, RandomIds("https://pages.example/")).response.status == 201
    stop, seen = threading.Event(), list[str]()

    def publish(document: dict[str, object], *, key: str) -> None:
        assert len(key) == 64
        seen.append(str(document["kind"]))
        stop.set()

    engines: list[sa.Engine] = []

    def engine(url: str) -> sa.Engine:
        engines.append(create_engine(url, timeout=30))
        return engines[-1]

    given = {
        "create_limited_user": lambda *_: seen.append("user"),
        "publish": publish,
        "stop": stop,
        "DATABASE_URL": url,
    }
    code = program[1].replace("create_engine(DATABASE", "engine(DATABASE")
    exec(code, given | {"engine": engine})  # noqa: S102 - the page's own code
    for each in engines:
        each.dispose()
    assert "user" in seen or "connect_session.initiated" in seen
