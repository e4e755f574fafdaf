"""Equivalent mutants of the kit's model and its checks of triggers and gates, with proofs.

The law of this module is that of `equivalent.py`: **every entry has a proof**.
"""

from __future__ import annotations

from typing import Final

from benchmarks.equivalent import Key

_KIT: Final = "testing.conformance"

_NO_GATE: Final = "The name is only compared with the gates in `GATES`, and is none of them."
_SLICED: Final = "The position only ends a slice, which ends with the list either way."
_URL: Final = "The comparison leaves URLs out, and no fact of a run names its page."
_USER: Final = "No response shows a user's id; the digits after the word make it unique."
_DROPPED: Final = "The parser uses the name in its error alone, which is dropped."

EQUIVALENT_MODEL: Final[dict[Key, str]] = {
    **{
        (
            f"{_KIT}.gate_order._Scene.failures",
            f'yield "{name}", {change}',
            f'yield "{other}", {change}',
        ): _NO_GATE
        for name, change in (("limit", '{"user": "busy"}'), ("rule", "{}"))
        for other in (f"XX{name}XX", name.upper())
    },
    (
        f"{_KIT}.gate_order._build_scene",
        'yield from send(build_request(app, kind, member_values(pending, "busy")))',
        'yield from send(build_request(app, kind, member_values(None, "busy")))',
    ): "No operation with a limit takes a connection's id.",
    (
        f"{_KIT}.model._shorten",
        "while trials < TRIALS:",
        "while trials <= TRIALS:",
    ): "With no trials left, the loop drops nothing and ends when the size is 1.",
    (
        f"{_KIT}.model._compare",
        "return None if what is None else Difference(len(steps) - 1, what, tuple(comparison.log))",
        "return None if what is None else Difference(len(steps) + 1, what, tuple(comparison.log))",
    ): _SLICED,
    (
        f"{_KIT}.model._Comparison.__init__",
        "self.now = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)",
        "self.now = datetime(2026, 1, 5, 9, tzinfo=UTC)",
    ): "Without a minute, the minute is 0.",
    (
        f"{_KIT}.model._Comparison.run",
        "self.store.purge(self.now)",
        "self.store.purge(None)",
    ): "Without an instant, the store asks its clock, which shows `self.now`.",
    (
        f"{_KIT}.model._Comparison._judge",
        "self.store, request, lambda _: self._new_ids(body), settings=self.store.settings )",
        "self.store, request, lambda _: self._new_ids(body), )",
    ): "The store has the default settings.",
    (
        f"{_KIT}.model._Comparison._follow_clock",
        "if instant is not None and self.now < instant <= self.now + SLACK:",
        "if instant is not None and self.now <= instant <= self.now + SLACK:",
    ): "The clock is then set to the instant that it shows.",
    **{
        (
            f"{_KIT}.model._Comparison._new_ids",
            'url = _text(body, "nextAction", "url")',
            f"url = {other}",
        ): _URL
        for other in (
            "None",
            '_text(None, "nextAction", "url")',
            *(f'_text(body, {name}, "url")' for name in ("None", '"XXnextActionXX"')),
            *(f'_text(body, {name}, "url")' for name in ('"nextaction"', '"NEXTACTION"')),
            *(f'_text(body, "nextAction", {name})' for name in ("None", '"XXurlXX"', '"URL"')),
        )
    },
    **{
        (
            f"{_KIT}.model._Comparison._new_ids",
            'url or "https://connect.example/none",',
            f'url or "{other}",',
        ): _URL
        for other in ("XXhttps://connect.example/noneXX", "HTTPS://CONNECT.EXAMPLE/NONE")
    },
    **{
        (
            f"{_KIT}.model._Comparison._new_ids",
            'user_id=values.UserId(self.names.word("limited")),',
            f"user_id=values.UserId(self.names.word({other})),",
        ): _USER
        for other in ("None", '"XXlimitedXX"', '"LIMITED"')
    },
    **{
        (function, f'{begin}"{name}", {rest}', f"{begin}{other}, {rest}"): _DROPPED
        for function, begin, name, rest in (
            (f"{_KIT}.model._Comparison._new_id", "adopted = values.parse_uuid(", "id", "shown)"),
            (f"{_KIT}.model._instant", "return values.parse_time(", "time", "text)"),
        )
        for other in ("None", f'"XX{name}XX"', f'"{name.upper()}"')
    },
    (
        f"{_KIT}.model._Comparison._log",
        "self.log.append(json.dumps(line, ensure_ascii=False))",
        "self.log.append(json.dumps(line, ensure_ascii=None))",
    ): "It is only asked whether it is true.",
}
