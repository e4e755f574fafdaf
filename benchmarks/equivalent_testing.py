"""Equivalent mutants of the tools for testers, with proofs.

No caller can distinguish them from the code.

The law of this module is that of `equivalent.py`: **every entry has a proof**.
"""

from __future__ import annotations

from typing import Final

from benchmarks.equivalent import Key

_IS_AN_OBJECT: Final = "`check_wire_members` has raised already if it is no object."
_DROPPED: Final = "The parser uses the name in its error alone, which is dropped."
_EMPTY_CASE: Final = "A value that no case fits changes nothing."
_ONLY_CHARGES: Final = (
    "A replay may only charge buckets, or it breaks law 9 just before, and a charge is not judged "
    "by the commit of the load."
)
_NO_KEY: Final = "No entry has the key None."
_SAME_DEFAULT: Final = "It is not asked for equal lengths, and that is the default."


EQUIVALENT_TESTING: Final[dict[Key, str]] = {
    **{
        (
            "testing.laws.connections.RevocationAnswer.read",
            'connection = require_object(13, document["connection"], "connection")',
            f'connection = require_object({law}, document["connection"], {where})',
        ): _IS_AN_OBJECT
        for law, where in (
            ("None", '"connection"'),
            ("14", '"connection"'),
            ("13", "None"),
            ("13", '"XXconnectionXX"'),
            ("13", '"CONNECTION"'),
        )
    },
    **{
        (
            "testing.laws.connections._instant",
            'return parse_time("revokedAt", revoked_at)',
            f"return parse_time({name}, revoked_at)",
        ): _DROPPED
        for name in ("None", '"XXrevokedAtXX"', '"revokedat"', '"REVOKEDAT"')
    },
    **{
        (
            "testing.laws.requests._check_same",
            "pairs = enumerate(zip(first.body, second.body, strict=False))",
            f"pairs = enumerate(zip(first.body, second.body, {other}))",
        ): _SAME_DEFAULT
        for other in ("strict=None", "")
    },
    **{
        (
            "testing.laws.requests.check_rate_limit",
            "for first, last in zip(instants, instants[limit:], strict=False):",
            f"for first, last in zip(instants, instants[limit:], {other}):",
        ): _SAME_DEFAULT
        for other in ("strict=None", "")
    },
    (
        "testing.watch.Watch.observe_commit",
        "loaded_at = self.commit_count - 1 if loaded_at_commit is None else loaded_at_commit",
        "loaded_at = self.commit_count + 1 if loaded_at_commit is None else loaded_at_commit",
    ): "It is only compared with the numbers of earlier commits, and no number lies between.",
    **{
        (
            "testing.watch.Watch.observe_response",
            "self.observe_commit(changes.writes, now, loaded_at_commit=loaded_at_commit)",
            f"self.observe_commit(changes.writes, now, {other})",
        ): _ONLY_CHARGES
        for other in ("loaded_at_commit=None", "")
    },
    (
        "testing.watch.Watch.observe_response",
        "is_revocation = b'\"revokedNow\":' in response.body and response.status < _REFUSED",
        "is_revocation = b'\"revokedNow\":' in response.body and response.status <= _REFUSED",
    ): "A response with status 400 is a problem, or breaks law 16 just before, and has no such member.",
    (
        "testing.watch.Watch.observe_access_decision",
        "laws.check_tombstone((held,), now, era=era, decide=decide)",
        "laws.check_tombstone((held,), now, era=None, decide=decide)",
    ): "`decide` always gives the observed decision, whatever the era.",
    ("testing.watch.Watch._check_write", "case _: pass", ""): _EMPTY_CASE,
    (
        "testing.watch.Watch._check_replay",
        "used = None if key is None else self._used_keys.get(key)",
        "used = None if (key is None) and False else self._used_keys.get(key)",
    ): _NO_KEY,
    (
        "testing.watch.Watch._check_not_found",
        "held = None if requested is None else self._connections.get(requested)",
        "held = None if (requested is None) and False else self._connections.get(requested)",
    ): _NO_KEY,
    **{
        (
            "testing.watch_limits.LimitHistory.observe_charge",
            "admissions = self._admissions.setdefault(key, Admissions([], 0))",
            f"admissions = self._admissions.setdefault(key, Admissions([], {other}))",
        ): "The number of the commit replaces it in the next line."
        for other in ("None", "1")
    },
    (
        "testing.watch_limits.check_bucket_refusal",
        "if int(retry_after) > (window + _TOLERANCE) // _SECOND:",
        "if int(retry_after) > (window + _TOLERANCE) / _SECOND:",
    ): "Both spans are whole seconds.",
}
"""The proof for each mutant, by its function, its line in the code and its changed line."""
