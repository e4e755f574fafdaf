"""Equivalent mutants of the servers and of the replay, with proofs.

No caller can distinguish them from the code.

The law of this module is that of `equivalent.py`: **every entry has a proof**.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from benchmarks.equivalent import Key

_FALSY: Final = "It is only asked whether it is true."
_SAME_CODEC: Final = "Python finds a codec by its name in either case."
_DROPPED: Final = "The parser uses the name in its error alone, which is dropped."
_OTHER_WORD: Final = (
    "Names are only compared, and the name of a key and that of a connection begin differently."
)
_NO_BYTES: Final = "`BytesIO(None)` is empty, too."


def _upper_case(where: str, line: str, word: str) -> Iterator[tuple[Key, str]]:
    """Yield each way to write one occurrence of a codec's name in upper case, with the proof."""
    before = ""
    rest = line
    while word in rest:
        head, _, rest = rest.partition(word)
        yield (where, line, f"{before}{head}{word.upper()}{rest}"), _SAME_CODEC
        before += head + word


EQUIVALENT_SERVERS: Final[dict[Key, str]] = {
    (
        "replay.blame.Deciders.note",
        "case _: pass",
        "",
    ): "A value that no case fits changes nothing.",
    (
        "replay.recorded.Recorded._read",
        "return parse(inner, holder.get(inner))",
        "return parse(None, holder.get(inner))",
    ): _DROPPED,
    **{
        (
            "replay.recorded._is_same_instant",
            'return parse_time("recorded", recorded) == parse_time("decided", decided)',
            f"return parse_time({ours}, recorded) == parse_time({theirs}, decided)",
        ): _DROPPED
        for ours, theirs in (
            *((other, '"decided"') for other in ("None", '"XXrecordedXX"', '"RECORDED"')),
            *(('"recorded"', other) for other in ("None", '"XXdecidedXX"', '"DECIDED"')),
        )
    },
    (
        "replay.recorded.Comparison._is_same",
        "if isinstance(recorded, str) and isinstance(decided, str):",
        "if isinstance(recorded, str) or isinstance(decided, str):",
    ): "Both have the same type by then.",
    (
        "servers.endpoint._request_line",
        'retry_after = headers.get("retry-after", "")',
        'retry_after = headers.get("retry-after", "XXXX")',
    ): "Neither is a number, so both are logged as None.",
    **{
        (
            "servers.guard._is_health_check",
            'path = str(scope["path"]).removeprefix(str(scope.get("root_path", "")))',
            f'path = str(scope["path"]).removeprefix(str(scope.get("root_path", {other})))',
        ): "No path begins with the other text, so all of it is left."
        for other in ("None", "", '"XXXX"')
    },
    **{
        (
            "servers.guard._names",
            'key = b"key " + (words[0][-1] if words and words[0] else b"")',
            f'key = b"{other}" + (words[0][-1] if words and words[0] else b"")',
        ): _OTHER_WORD
        for other in ("XXkey XX", "KEY ")
    },
    **{
        (
            "servers.guard._names",
            'return (key, b"connection " + id_)',
            f'return (key, b"{other}" + id_)',
        ): _OTHER_WORD
        for other in ("XXconnection XX", "CONNECTION ")
    },
    (
        "servers.guard._lifespan",
        "supports_lifespan = False",
        "supports_lifespan = None",
    ): _FALSY,
    (
        "servers.guard._LingeringSend.__init__",
        "self._has_response = False",
        "self._has_response = None",
    ): _FALSY,
    (
        "servers.guard._end_now",
        "limit.reschedule(0)",
        "limit.reschedule(1)",
    ): "The loop's clock shows seconds since the machine started, so it is past both.",
    (
        "servers.guard._read_body",
        "return None, False",
        "return None, True",
    ): "If there is no body, nothing asks whether it has more bytes.",
    (
        "servers.log.configure_logging",
        "logger.disabled = False",
        "logger.disabled = None",
    ): _FALSY,
    (
        "servers.run.load",
        'module, _, name = target.partition(":")',
        'module, _, name = target.rpartition(":")',
    ): "No name of a module and none of an attribute holds a colon, so a second one always raises.",
    (
        "servers.shutdown.GracefulShutdown.__init__",
        "self._is_ending = False",
        "self._is_ending = None",
    ): _FALSY,
    (
        "servers.slots.Slots.take",
        "self._arrivals += 1",
        "self._arrivals += 2",
    ): "The numbers of arrivals are only compared.",
    **{
        (
            "servers.wsgi.wsgi_to_asgi",
            'environ = _environ(scope, cast("bytes", message.get("body", b"")))',
            f'environ = _environ(scope, cast("bytes", message.get("body", {other})))',
        ): _NO_BYTES
        for other in ("None", "")
    },
    **dict(
        _upper_case(
            "servers.wsgi._response_of",
            (
                'headers = [(name.encode("latin-1"), value.encode("latin-1")) '
                "for name, value in text_headers]"
            ),
            "latin-1",
        )
    ),
    **{
        key: why
        for word in ("utf-8", "latin-1")
        for key, why in _upper_case(
            "servers.wsgi._environ",
            (
                '"PATH_INFO": str(scope["path"])'
                '.encode("utf-8", "surrogateescape").decode("latin-1"),'
            ),
            word,
        )
    },
    **dict(
        _upper_case(
            "servers.wsgi._environ",
            '"QUERY_STRING": cast("bytes", scope["query_string"]).decode("latin-1"),',
            "latin-1",
        )
    ),
    **dict(
        _upper_case(
            "servers.wsgi._environ",
            'key = name.decode("latin-1").upper().replace("-", "_")',
            "latin-1",
        )
    ),
    **dict(_upper_case("servers.wsgi._environ", 'text = value.decode("latin-1")', "latin-1")),
    (
        "servers.slots.Slots._bound",
        "is_alone = self._in_a_row.get(name, 0) >= ALONE_AFTER",
        "is_alone = self._in_a_row.get(name, 1) >= ALONE_AFTER",
    ): "Neither number of requests in a row is enough.",
}
