"""Equivalent mutants of the Hypothesis strategies for values and traffic, with proofs.

No caller can distinguish them from the code.

The law of this module is that of `equivalent.py`: **every entry has a proof**.
"""

from __future__ import annotations

from typing import Final

from benchmarks.equivalent import Key

_EDGE: Final = "The other strategy of the two draws the span of zero, too."
_ANY_NUMBER: Final = "No promise bounds the number, and `uuid_of` takes larger ones."
_NO_WRITER: Final = "The store in memory ignores the loaded values: it compares each write itself."
_SAME_EXAMPLE: Final = (
    "`build` takes the example of the member then, which names the same packages."
)
_NOT_READ: Final = "The store only hands its settings out, and no step asks for them."
_SWEPT: Final = "Before a step, every connection of an ended era is revoked, which no era changes."
_FOR_READERS: Final = "Only the words of an assertion change."
_ASSERTION: Final = 'assert stored, "{}"  # noqa: S101 - see its words'
_TWO_NAMES: Final = "`buckets` draws two names, so no list has a third bucket with another name."
_BODY_ALONE: Final = "Only the body is taken, which holds neither the key nor the API key."
_FROM_BYTES: Final = "Every request of `format_request` has a body of bytes."
_CUT: Final = "Steps beyond the most are cut, and no promise is about how often lists are long."
_EMPTY_CASE: Final = "A value that no case fits changes nothing."

_PREVIEWS: Final = "previews = preview_triggers(connection, now, era=None, successor=successor, {})"
_PARSED_BODY: Final = "lambda call: ParsedBody(parse_json(body_bytes(format_request(call, {}))))"
_LISTS: Final = "drawn = st.lists(_drawn_steps(values.offsets(), _DRAWN_KINDS), {})"
_BUCKETS: Final = "st.lists(buckets(), {}unique_by=lambda bucket: bucket.name).map(tuple),"

EQUIVALENT_TRAFFIC: Final[dict[Key, str]] = {
    (
        "testing.strategies.values.offsets",
        "st.integers(0, _THREE_HOURS).map(lambda tick: tick * TICK),",
        "st.integers(1, _THREE_HOURS).map(lambda tick: tick * TICK),",
    ): _EDGE,
    (
        "testing.strategies.values.uuids",
        "return st.integers(1, 0xFFFF_FFFF).map(uuid_of)",
        "return st.integers(1, 4294967296).map(uuid_of)",
    ): _ANY_NUMBER,
    **{
        (
            "testing.strategies.request.server_settings",
            _BUCKETS.format("max_size=2, "),
            _BUCKETS.format(other),
        ): _TWO_NAMES
        for other in ("max_size=None, ", "", "max_size=3, ")
    },
    (
        "testing.strategies.request.parsed_bodies",
        "call_of, callers_with_write_scope(), creates, values.idempotency_keys() )",
        "call_of, callers_with_write_scope(), creates, )",
    ): _BODY_ALONE,
    **{
        (
            "testing.strategies.request.parsed_bodies",
            _PARSED_BODY.format('"Bearer cae_live_k1"'),
            _PARSED_BODY.format(other),
        ): _BODY_ALONE
        for other in (
            '"XXBearer cae_live_k1XX"',
            '"bearer cae_live_k1"',
            '"BEARER CAE_LIVE_K1"',
        )
    },
    **{
        (
            "testing.strategies.request.body_bytes",
            'return request.body if isinstance(request.body, bytes) else b"{}"',
            other,
        ): _FROM_BYTES
        for other in (
            'return request.body if (isinstance(request.body, bytes)) or True else b"{}"',
            'return request.body if isinstance(request.body, bytes) else b"XX{}XX"',
        )
    },
    (
        "testing.strategies.outcome._reconnect",
        "ended = _revoke(connection, _AFTER_HISTORIES).value",
        "ended = _revoke(connection, ).value",
    ): "A reconnect asks whether the connection has ended, and not when.",
    **{
        (
            "testing.strategies.outcome._preview",
            _PREVIEWS.format("head=successor"),
            _PREVIEWS.format(other),
        ): "Without a head, the successor is taken as the head."
        for other in ("head=None", "")
    },
    (
        "testing.strategies.record._attempt",
        "now = START + timedelta(seconds=earlier)",
        "now = START - timedelta(seconds=earlier)",
    ): (
        "Rules take an instant before the last write as that of the write, and the attempt that is "
        "drawn shows only the first of these instants."
    ),
    **{
        (
            "testing.strategies.traffic.traffic_steps",
            _LISTS.format("max_size=max_steps"),
            _LISTS.format(other),
        ): _CUT
        for other in ("max_size=None", "")
    },
    (
        "testing.strategies.traffic._Play.__init__",
        "self._now = self._last = START",
        "self._now = self._last = None",
    ): "The first step sets both, and its purge finds an empty store.",
    **{
        (
            "testing.strategies.traffic._Play.__init__",
            "self._store = MemoryStore(self._settings, clock=lambda: self._now)",
            f"self._store = MemoryStore({other}clock=lambda: self._now)",
        ): _NOT_READ
        for other in ("None, ", "")
    },
    **{
        (
            "testing.strategies.traffic._Play._values",
            '"data_packages": PACKAGES,',
            f'"{name}": PACKAGES,',
        ): _SAME_EXAMPLE
        for name in ("XXdata_packagesXX", "DATA_PACKAGES")
    },
    **{
        (f"testing.strategies.traffic._Play.{name}", before, before.replace("loaded", "None")): (
            _NO_WRITER
        )
        for name, before in (
            ("_record", "self._commit(loaded, answer.value)"),
            ("_exchange", "self._commit(loaded, answer.changes, page)"),
            ("_commit", "stored = self._store.commit(loaded, changes, page)"),
        )
    },
    (
        "testing.strategies.traffic._Play._with_page",
        "urls = [] if subject is None else self._page_urls.get(subject, [])",
        "urls = [] if (subject is None) and False else self._page_urls.get(subject, [])",
    ): "No page has the key None.",
    **{
        (
            "testing.strategies.traffic._Play._question",
            "era = present_era(self._store.binding(connection.identity.coordinate))",
            f"era = {other}",
        ): _SWEPT
        for other in ("None", "present_era(None)")
    },
    (
        "testing.strategies.traffic._Play._question",
        "answer = decide_access(connection, package, now, era=era)",
        "answer = decide_access(connection, package, now, era=None)",
    ): _SWEPT,
    **{
        (
            "testing.strategies.traffic._Play._commit",
            _ASSERTION.format("no other writer, since the steps run one after another"),
            _ASSERTION.format(words),
        ): _FOR_READERS
        for words in (
            "XXno other writer, since the steps run one after anotherXX",
            "NO OTHER WRITER, SINCE THE STEPS RUN ONE AFTER ANOTHER",
        )
    },
    (
        "testing.strategies.traffic._Play._commit",
        "case _: pass",
        "",
    ): _EMPTY_CASE,
}
"""The proof for each mutant, by its function, its lines in the code and its changed lines."""
