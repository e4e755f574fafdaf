"""What another release stored: an earlier text is compared as it stands, a newer one stops nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from sql_store import CONNECTIONS
from sqlalchemy import Engine
from store import Texts, format_value

from curae_lifecycle.rules.connection import Connection, Status
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.stores.formats import NewerFormatError
from tests.strategies import pending
from tests.wire.judge import take_stock
from tests.wire.races import at, connect, happens, run
from tests.wire.running import engine_of, sqlite


def rewrite(engine: Engine, change: Callable[[str], str]) -> str:
    """Store every connection as another release might have."""
    with engine.begin() as connection:
        document = connection.execute(sa.select(CONNECTIONS.c.document)).scalar_one()
        connection.execute(sa.update(CONNECTIONS).values(document=change(document)))
        return change(document)


def test_a_write_compares_with_the_text_that_was_read(tmp_path: Path) -> None:
    with engine_of(sqlite(tmp_path)) as engine:
        id_ = connect(engine)
        # The same value in other words, as an earlier form of it would be.
        assert rewrite(engine, spaced) != format_value(take_stock(engine).connections[0])
        run(engine, happens(Authorized(id_), at(1)))
        assert [each.status for each in take_stock(engine).connections] == [Status.ACTIVE]


def spaced(document: str) -> str:
    return json.dumps(json.loads(document), indent=1)


def test_what_a_newer_release_stored_is_refused_and_stays(tmp_path: Path) -> None:
    with engine_of(sqlite(tmp_path)) as engine:
        id_ = connect(engine)
        newer = rewrite(engine, lambda text: json.dumps({**json.loads(text), "format": 99}))
        with pytest.raises(NewerFormatError, match="Connection: stored in form 99"):
            run(engine, happens(Authorized(id_), at(1)))
        with engine.begin() as connection:
            documents = connection.execute(sa.select(CONNECTIONS.c.document)).scalars().all()
        assert documents == [newer]


def test_equal_values_of_two_rows_keep_their_own_texts() -> None:
    texts = Texts()
    plain = format_value(pending())
    here, there = texts.parse(Connection, plain), texts.parse(Connection, spaced(plain))
    assert here == there
    assert (texts.of(here), texts.of(there)) == (plain, spaced(plain))
    assert texts.of(pending(number=2)) == format_value(pending(number=2))
