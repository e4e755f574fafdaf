"""Equivalent mutants of the stores, with proofs.

No caller can distinguish them from the code.

The law of this module is that of `equivalent.py`: **every entry has a proof**.
"""

from __future__ import annotations

import re
from typing import Final

from benchmarks.equivalent import Key

_ANY_CASE: Final = "Python reads the name of infinity in either case."
_FALSY: Final = "It is only asked whether it is true."
_NOT_NONE: Final = "The callers that can get it only ask whether it is None."
_DROPPED: Final = "`ObjectCodec` names the member at fault, and drops this error with its words."
_NEWEST: Final = "A document of the newest form is read the same after its upgrades: it has none."
_SETS: Final = (
    'sets = ", ".join(["version = version + 1", *(f"{name} = {new[name]}" for name in names)])'
)
_OUTBOX_COLUMNS: Final = "subject, kind, document, waits_from, due_at, attempts"
_COLUMN: Final = "SQL reads the name of a column in either case."
_ANY_VERSION: Final = "A version is only compared with the one that was loaded, if at all."
_COLUMNS: Final = {
    "_page_upsert": (
        '"id": page.digest,',
        '"version": 1,',
        '"subject": page_subject_key(page),',
        '"expires_at": to_epoch_microseconds(page.expires_at),',
        '"document": format_document(dump(page)),',
        'return _upsert(dialect, table="curae_page", unique="subject", columns=columns)',
    ),
    "_row": (
        '"predecessor_id": identity.predecessor_id,',
        '"root_id": identity.root_id,',
        '"position": identity.position,',
        '"coordinate": coordinate_key(identity.coordinate),',
        '"era": format_era(identity.era),',
        'made: _Columns = {"coordinate": where, "era": format_era(after.era)}',
        'unswept: _Columns = {"unswept": 0 if after.swept else 1}',
        'return "curae_record", record_key(name), {}, {"expires_at": until}',
        'return "curae_log", rate_key(name), {}, {"expires_at": until}',
    ),
    "_upsert_clauses": ('return "excluded.{}", f"ON CONFLICT ({unique}) DO UPDATE SET"',),
    "_write_statements": (
        'columns["document"] = format_document(dump(write.after))',
        'return place, [_insert(table, {"id": key, "version": 1, **fixed, **columns})]',
    ),
    "clear_user_statement": ('columns: _Columns = {"document": format_document(dump(after))}',),
    "erasure_statement": (
        'new_value, on_conflict = _upsert_clauses(dialect, "id")',
        "f\"{name} = CASE WHEN {new_value.format('era')} > curae_erasure.era \"",
        'for name in ("due_at", "era")',
        'insert = _insert_text("curae_erasure", ("id", "era", "due_at"))',
    ),
    "purges": (
        'Purge(table, "expires_at", until)',
        'Purge("curae_bucket", "full_at", until - 1),',
    ),
}
"""The lines of `stores.sql.storing` that name columns."""

_NAME: Final = re.compile(r"""(["'])(?!curae_)([a-z_]+)(?:\.\{\})?\1""")
_DELETE_PAGES: Final = 'yield _deletion("curae_page", "subject", subjects)'

_FOUND: Final = (
    'found: list[tuple[str, str, str]] = _SESSION_TIMEOUT.findall(str(options.get("options", '
)

EQUIVALENT_STORES: Final[dict[Key, str]] = {
    **{
        (
            f"stores.contract.{function}",
            'return getattr(store, "charges_apart", False) is True',
            'return getattr(store, "charges_apart", None) is True',
        ): "Neither False nor None is True."
        for function in ("is_charging_store", "is_async_charging_store")
    },
    **{
        (
            "stores.django.database.session_timeout",
            f'{_FOUND}"")))',
            f"{_FOUND}{other})))",
        ): "No such text names a timeout."
        for other in ("None", "", '"XXXX"')
    },
    (
        "stores.external_call.ExternalCall.__attrs_post_init__",
        'if not 1 <= self.lease * SECOND < float("inf"):',
        'if not 1 <= self.lease * SECOND < float("INF"):',
    ): _ANY_CASE,
    (
        "stores.external_call._RequestWithExternalCall._claim_key",
        "if call is None or new_ids is None or decided.page is None:",
        "if call is None and new_ids is None or decided.page is None:",
    ): "A decision without a call or without new ids has no page.",
    (
        "stores.external_call._RequestWithExternalCall._release",
        "return False",
        "return True",
    ): _NOT_NONE,
    (
        "stores.external_call._RequestWithExternalCall._update_record",
        "return False",
        "return True",
    ): "Without a claim there is no call that renews, and a release only asks whether it is None.",
    (
        "stores.request_loop.RequestAttempts.commit",
        "self.charges += charges",
        "self.charges = charges",
    ): (
        "A charged call charges no bucket, so that one of both is empty; after an empty charge "
        "the request ends."
    ),
    (
        "stores.request_loop.RequestAttempts.decide",
        "call = read(self.request, caller=caller, now=utc_now(), settings=self.settings)",
        "call = read(self.request, caller=caller, now=None, settings=self.settings)",
    ): "A refusal alone holds the instant, and it gets that of the load.",
    (
        "stores.retry.RetryPolicy.__attrs_post_init__",
        'if not 0 < getattr(self, name) < float("inf"):',
        'if not 0 < getattr(self, name) < float("INF"):',
    ): _ANY_CASE,
    **{
        (
            f"stores.serve.{function}",
            f'check_store_kind(store, "{function}_async", is_async=False)',
            f'check_store_kind(store, "{function}_async", is_async=None)',
        ): _FALSY
        for function in ("record", "serve", "serve_with_external_call")
    },
    (
        "stores.sweeping._Sweep.try_to_finish",
        "await self._sweep_all(active_first=False)",
        "await self._sweep_all(active_first=None)",
    ): _FALSY,
    **{
        (
            f"stores.codec.{function}",
            f'raise ArgumentError("{argument}", "{allowed}")',
            f"raise ArgumentError({other})",
        ): _DROPPED
        for function, argument, allowed in (
            ("_parse_strings", "value", "a list of strings"),
            ("_parse_scopes", "value", "a list of different strings"),
            ("_parse_header", "header", "a list of two strings"),
            ("_parse_integers", "value", "a list of integers"),
        )
        for other in (
            f'None, "{allowed}"',
            f'"{argument}", None',
            f'"XX{argument}XX", "{allowed}"',
            f'"{argument.upper()}", "{allowed}"',
        )
    },
    (
        "stores.codec.load",
        "newest = newest_format(name)",
        "newest = None",
    ): _NEWEST,
    **{
        (
            "stores.codec.load",
            "stored = document.get(FORMAT)",
            other,
        ): _NEWEST
        for other in ("stored = None", "stored = document.get(None)")
    },
    (
        "stores.codec.load",
        "if type(stored) is not int or stored != newest:",
        "if type(None) is not int or stored != newest:",
    ): _NEWEST,
    (
        "stores.hosted_pages.csrf_token",
        'return hmac.digest(url.encode(), b"form", "sha256").hex()',
        'return hmac.digest(url.encode(), b"form", "SHA256").hex()',
    ): "Python finds a digest by its name in either case.",
    (
        "stores.hosted_pages._page_key",
        "case _: pass",
        "",
    ): "A value that no case fits changes nothing.",
    (
        "stores.memory.MemoryStore.load",
        "caller = None if key_digest is None else self.caller_of(key_digest)",
        "caller = None if (key_digest is None) and False else self.caller_of(key_digest)",
    ): "No API key has the digest None.",
    (
        "stores.memory.MemoryStore._snapshot",
        "page=None if needs.page is None else self._pages.get(needs.page),",
        "page=None if (needs.page is None) and False else self._pages.get(needs.page),",
    ): "No page has the digest None.",
    (
        "stores.memory_accounts.Accounts.drop_some_expired",
        "account = self._by_owner.get(own) if own else None",
        "account = self._by_owner.get(own) if (own) or True else None",
    ): "No account has the owner None.",
    (
        "stores.memory_tables.Connections._backwards",
        "connection = self.get(predecessor) if predecessor else None",
        "connection = self.get(predecessor) if (predecessor) or True else None",
    ): "No connection has the id None.",
    (
        "stores.memory_tables.Connections.locate",
        "if predecessor is not None and write.before is None:",
        "if predecessor is not None or write.before is None:",
    ): (
        "Nothing succeeds None. A predecessor's successor is the connection itself or, if that is "
        "not stored, another value than the one to replace."
    ),
    (
        "stores.new_ids.RandomIds.__call__",
        "self.hosted_page_base_url + token_urlsafe(32),",
        "self.hosted_page_base_url + token_urlsafe(None),",
    ): "Python's own number of bytes is 32, too.",
    (
        "stores.sql.engine.AsyncSqlDatabase._with_connection",
        "is_usable = False",
        "is_usable = None",
    ): _FALSY,
    **{
        (
            "stores.sql.engine._invalidate",
            "pooled.info[COUNTED] = True",
            f"pooled.info[COUNTED] = {other}",
        ): "It is only asked whether the key is there."
        for other in ("None", "False")
    },
    (
        "stores.sql.engine_factory._parse_url",
        'dialect = Dialect(driver.partition("+")[0])',
        'dialect = Dialect(driver.rpartition("+")[0])',
    ): "The name of a driver has one plus sign.",
    (
        "stores.sql.engine_factory._count_until_closed",
        "if COUNTED not in pooled.info and limits.free.acquire(blocking=False):",
        "if COUNTED not in pooled.info and limits.free.acquire(blocking=None):",
    ): _FALSY,
    **{
        (
            "stores.sql.engine_factory._enable_wal",
            'connection.execute("PRAGMA journal_mode = WAL").close()',
            f'connection.execute("{other}").close()',
        ): "SQLite reads the words of a PRAGMA in either case."
        for other in ("pragma journal_mode = wal", "PRAGMA JOURNAL_MODE = WAL")
    },
    (
        "stores.sql.outbox_worker._run",
        '_LOG.warning("%s", error)',
        "_LOG.warning(error)",
    ): "A record without arguments shows its message as it is.",
    (
        "stores.sql.outbox_worker._run",
        "tried = 0",
        "tried = None",
    ): _FALSY,
    **{
        (
            "stores.sql.dead_messages._change",
            "dead = await list_dead(database, number - 1, 1) if 0 < number <= _MAX_NUMBER else ()",
            f"dead = await list_dead({given}) if 0 {below} number <= _MAX_NUMBER else ()",
        ): reason
        for given, below, reason in (
            ("database, number - 1, 1", "<=", "No message has the number 0."),
            ("database, number - 1, 2", "<", "Only the first message is looked at."),
        )
    },
    **{
        (
            "stores.sql.outbox_worker._Worker.batch",
            "started_at, claim = time.monotonic(), token_hex(16)",
            f"started_at, claim = time.monotonic(), token_hex({other})",
        ): "Claims are compared for equality only, and the column takes 64 characters."
        for other in ("None", "17")
    },
    **{
        (
            "stores.sql.outbox_worker._Worker._due",
            "row for row, number in zip(rows, numbers, strict=True) if number not in self.newer",
            f"row for row, number in zip(rows, numbers, {other}) if number not in self.newer",
        ): "There is one number for each row."
        for other in ("strict=None", "", "strict=False")
    },
    **{
        (
            "stores.sql.pool.AsyncPool.dispose",
            "self._disposals += 1",
            f"self._disposals {other}",
        ): "It is only asked whether the number is another than before."
        for other in ("-= 1", "+= 2")
    },
    (
        "stores.sql.pool._probe_host",
        "handle.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)",
        "handle.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 2)",
    ): "The option is on with any number but 0.",
    (
        "stores.sql.async_drivers.AsyncpgConnection._run",
        'replication, rows = self.replication, cast("Rows", ())',
        'replication, rows = self.replication, cast("Rows", None)',
    ): "The caller that reads the rows passes one statement.",
    (
        "stores.sql.buckets._fits",
        "largest = max(most + token + refill, _LAST_MICROSECOND + most // refill + CLOCK_TOLERANCE)",
        "largest = max(most + token + refill, _LAST_MICROSECOND + most / refill + CLOCK_TOLERANCE)",
    ): (
        "If `refill` is 1, the sum is never within 775,808 of the limit, and a float is off by at "
        "most 1024 there. If `refill` is larger, the other number reaches the limit first."
    ),
    **{
        (
            "stores.sql.purging.Erased.deletions",
            _DELETE_PAGES + ', _deletion(table, "id", batch)',
            changed,
        ): "SQL reads the name of a column in either case."
        for changed in (
            _DELETE_PAGES + ', _deletion(table, "ID", batch)',
            _DELETE_PAGES.replace('subject"', 'SUBJECT"') + ', _deletion(table, "id", batch)',
        )
    },
    (
        "stores.sql.engine_factory._forget_connections",
        "engine.dispose(close=False)",
        "engine.dispose(close=None)",
    ): "SQLAlchemy asks only whether it is true.",
    (
        "stores.sql.purging._purge_erasures",
        "continue",
        "break",
    ): "The next query begins after this row.",
    (
        "stores.sql.schema._columns",
        '" ".join(types.get(word, word) for word in column.split(" ")) for column in columns',
        '" ".join(types.get(word, word) for word in column.split(None)) for column in columns',
    ): "The words of a column are one space apart.",
    **{
        (
            f"stores.sql.storing.{function}",
            line,
            line[: name.start()] + name[0].upper() + line[name.end() :],
        ): _COLUMN
        for function, lines in _COLUMNS.items()
        for line in lines
        for name in _NAME.finditer(line)
    },
    **{
        (f"stores.sql.storing.{function}", line, line.replace('"version": 1', '"version": 2')): (
            _ANY_VERSION
        )
        for function, lines in _COLUMNS.items()
        for line in lines
        if '"version": 1' in line
    },
    (
        "stores.sql.storing._update_text",
        _SETS,
        _SETS.replace("version = version", "VERSION = VERSION"),
    ): _COLUMN,
    (
        "stores.sql.storing._outbox_insert_text",
        f'columns = "{_OUTBOX_COLUMNS}"',
        f'columns = "{_OUTBOX_COLUMNS.upper()}"',
    ): _COLUMN,
    (
        "stores.django.settings.database_settings",
        "parts = urlsplit(url, allow_fragments=False)",
        "parts = urlsplit(url, allow_fragments=None)",
    ): _FALSY,
    (
        "stores.django.settings._sqlite_name",
        'uri = query.get("uri", "false").strip().lower()',
        'uri = query.get("uri", "FALSE").strip().lower()',
    ): "It is read in lower case.",
    (
        "stores.sql.engine_factory._with_decoded_name",
        'if url.database is None or sa.make_url("sqlite:///%20").database == " ":',
        'if url.database is None or sa.make_url("SQLITE:///%20").database == " ":',
    ): "Only the name of the database is read.",
    (
        "stores.django.socket_watchdog.SocketWatchdog.watch",
        "if until < self._wakes_at:",
        "if until <= self._wakes_at:",
    ): "The thread is woken once more, and waits for the same instant again.",
    (
        "stores.sql.storing.commit_statements",
        "ordered.sort(key=itemgetter(0))",
        "ordered.sort(key=None)",
    ): "No two writes of a commit have the same place.",
    (
        "stores.sql.storing._outbox_insert",
        "document = format_document(number_document(MESSAGE, message.document))",
        "document = format_document(number_document(None, message.document))",
    ): "Messages are in their first form, as every kind without upgrades.",
    (
        "stores.sql.storing.save_caller_statement",
        'columns: _Columns = {"id": digest, "version": 1, "document": format_caller(caller)}',
        'columns: _Columns = {"id": digest, "version": 2, "document": format_caller(caller)}',
    ): _ANY_VERSION,
    (
        "stores.sql.storing._write_statements",
        "return (len(_ORDER), False, key), charge",
        "return (len(_ORDER), True, key), charge",
    ): "Buckets alone are at this place.",
    (
        "stores.sql.store._Statements._cache_caller",
        "self._callers.popitem(last=False)",
        "self._callers.popitem(last=None)",
    ): _FALSY,
    (
        "stores.redis.limits._state",
        "return load(BucketState, number_document(kind.__name__, members))",
        "return load(BucketState, number_document(None, members))",
    ): "Buckets are in their first form, as every kind without upgrades.",
    (
        "stores.sql.failures.has_connect_error_code",
        "case Dialect.SQLITE: return False",
        "",
    ): _FALSY,
    **{
        (
            "stores.sql.session_settings.postgresql_options",
            'others = [*given] or [os.environ.get("PGOPTIONS", "")]',
            f'others = [*given] or [os.environ.get("PGOPTIONS", {other})]',
        ): "What is empty or None is left out of the options."
        for other in ("None", "")
    },
    **{
        (
            "stores.sql.charging.RequestCharge.of",
            "rows=tuple(sorted(rows, key=lambda row: row[0])),",
            f"rows=tuple(sorted(rows, {other})),",
        ): "No two buckets of a request share a key, so the keys alone decide."
        for other in ("key=None", "")
    },
}
