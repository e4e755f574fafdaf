"""Vectors of syntax: app users' ids, UUIDs, data packages, keys, times.

The law of this module: **the parser alone decides whether a text is valid, invalid or acceptable**.
An acceptable text is read, but written in another form.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from curae_lifecycle.rules.credentials import Caller
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.values import (
    APP_USER_ID_MAX_LENGTH,
    DATA_PACKAGE_MAX_LENGTH,
    DATA_PACKAGES_MAX_COUNT,
    ApiKeyId,
    AppId,
    Environment,
    format_time,
    parse_app_user_id,
    parse_data_packages,
    parse_time,
    parse_uuid,
)
from curae_lifecycle.service.call import Call
from curae_lifecycle.web.read import read
from curae_lifecycle.web.request import ParsedBody, Request, bearer
from docs.generate.vectors.cases import ACCOUNT, START, Case, Verdict

CALLER: Final = Caller(
    api_key_id=ApiKeyId("key-1"),
    app_id=AppId("app-1"),
    customer_account_id=ACCOUNT,
    environment=Environment.LIVE,
    scopes=frozenset({"connection:write"}),
)
"""The caller of the vectors."""

_USERS: Final[Mapping[str, object]] = {
    "plain": "user-1",
    "one": "u",
    "inner-space": "user 1",
    "no-break-space-inside": "user\u00a01",
    "case-kept": "User-1",
    "not-normalised": "e\u0301",
    "beyond-the-plane": "\U0001f9ec",
    "longest": "u" * APP_USER_ID_MAX_LENGTH,
    "longest-in-code-points": "\U0001f9ec" * APP_USER_ID_MAX_LENGTH,
    "too-long": "u" * (APP_USER_ID_MAX_LENGTH + 1),
    "empty": "",
    "blank": " ",
    "leading-space": " user-1",
    "trailing-space": "user-1 ",
    "trailing-line-feed": "user-1\n",
    "leading-no-break-space": "\u00a0user-1",
    "trailing-ideographic-space": "user-1\u3000",
    "nul": "user\x001",
    "tab-inside": "user\t1",
    "delete": "user\x7f1",
    "c1-control": "user\x851",
    "high-surrogate": "user\ud800",
    "low-surrogate": "user\udfff",
    "number": 1,
    "null": None,
    "list": ["user-1"],
    "name-of-a-prototype": "__proto__",
    "zero-width-space-at-the-end": "user-1\u200b",
    "byte-order-mark-in-front": "\ufeffuser-1",
    "old-white-space-at-the-end": "user-1\u180e",
    "too-long-in-code-points": "\U0001f9ec" * (APP_USER_ID_MAX_LENGTH + 1),
    "line-separator-at-the-end": "user-1\u2028",
    "narrow-no-break-space-in-front": "\u202fuser-1",
    "information-separator": "user\x1f1",
    "last-control-character": "user\x9f1",
    "true": True,
    "object": {},
}
_UUIDS: Final[Mapping[str, object]] = {
    "lower-case": "0f8fad5b-d9cb-469f-a165-70867728950e",
    "nil": "00000000-0000-0000-0000-000000000000",
    "upper-case": "0F8FAD5B-D9CB-469F-A165-70867728950E",
    "mixed-case": "0f8FAD5b-d9cb-469f-a165-70867728950e",
    "without-hyphens": "0f8fad5bd9cb469fa16570867728950e",
    "braces": "{0f8fad5b-d9cb-469f-a165-70867728950e}",
    "urn": "urn:uuid:0f8fad5b-d9cb-469f-a165-70867728950e",
    "too-short": "0f8fad5b-d9cb-469f-a165-70867728950",
    "too-long": "0f8fad5b-d9cb-469f-a165-70867728950e0",
    "no-hexadecimal": "0f8fad5g-d9cb-469f-a165-70867728950e",
    "full-width-digit": "\uff10f8fad5b-d9cb-469f-a165-70867728950e",
    "trailing-line-feed": "0f8fad5b-d9cb-469f-a165-70867728950e\n",
    "empty": "",
    "number": 7,
    "null": None,
    "hyphens-elsewhere": "0f8fad5bd-9cb-469f-a165-70867728950e",
    "first-group-too-long": "0f8fad5b0-d9cb-469f-a165-70867728950e",
    "second-group-too-long": "0f8fad5b-d9cb0-469f-a165-70867728950e",
    "third-group-too-long": "0f8fad5b-d9cb-469f0-a165-70867728950e",
    "fourth-group-too-long": "0f8fad5b-d9cb-469f-a1650-70867728950e",
    "leading-space": " 0f8fad5b-d9cb-469f-a165-70867728950e",
    "list": ["0f8fad5b-d9cb-469f-a165-70867728950e"],
}
_SETS: Final[Mapping[str, object]] = {
    "one": ["labs"],
    "sorted": ["clinical_summary", "labs"],
    "digits-and-underscores": ["a_1_", "b2"],
    "unsorted": ["labs", "clinical_summary"],
    "repeated": ["labs", "labs"],
    "most": [f"p{number:02}" for number in range(DATA_PACKAGES_MAX_COUNT)],
    "most-and-one-again": [f"p{number % 64:02}" for number in range(DATA_PACKAGES_MAX_COUNT + 1)],
    "too-many": [f"p{number:02}" for number in range(DATA_PACKAGES_MAX_COUNT + 1)],
    "longest": ["p" * DATA_PACKAGE_MAX_LENGTH],
    "too-long": ["p" * (DATA_PACKAGE_MAX_LENGTH + 1)],
    "none": [],
    "empty-token": [""],
    "upper-case": ["Labs"],
    "leading-digit": ["1abs"],
    "leading-underscore": ["_labs"],
    "hyphen": ["clinical-summary"],
    "space": ["labs "],
    "not-ascii": ["lab\u00e9"],
    "trailing-line-feed": ["labs\n"],
    "one-bad-among-good": ["labs", "Labs"],
    "number-inside": ["labs", 1],
    "text": "labs",
    "null": None,
    "name-of-a-prototype": ["constructor"],
    "one-letter": ["a"],
    "order-of-code-points": ["ab", "a_b", "a1", "a10", "a2"],
    "leading-line-feed": ["\nlabs"],
    "list-inside": [["labs"]],
    "object": {"labs": True},
}
_TIMES: Final[Mapping[str, object]] = {
    "whole-second": "2030-01-01T00:00:00Z",
    "one-digit": "2030-01-01T00:00:00.5Z",
    "microsecond": "2030-01-01T00:00:00.000001Z",
    "leap-day": "2028-02-29T23:59:59.999999Z",
    "first": "0001-01-01T00:00:00Z",
    "last": "9999-12-31T23:59:59.999999Z",
    "trailing-zeros": "2030-01-01T00:00:00.500Z",
    "zero-fraction": "2030-01-01T00:00:00.000000Z",
    "seven-digits": "2030-01-01T00:00:00.0000001Z",
    "no-digits": "2030-01-01T00:00:00.Z",
    "comma": "2030-01-01T00:00:00,5Z",
    "offset": "2030-01-01T00:00:00+00:00",
    "no-zone": "2030-01-01T00:00:00",
    "lower-case-z": "2030-01-01T00:00:00z",
    "lower-case-t": "2030-01-01t00:00:00Z",
    "space": "2030-01-01 00:00:00Z",
    "no-seconds": "2030-01-01T00:00Z",
    "date": "2030-01-01",
    "leap-second": "2030-06-30T23:59:60Z",
    "hour-24": "2030-01-01T24:00:00Z",
    "minute-60": "2030-01-01T00:60:00Z",
    "no-leap-day": "2030-02-29T00:00:00Z",
    "month-13": "2030-13-01T00:00:00Z",
    "year-0": "0000-01-01T00:00:00Z",
    "five-digit-year": "12030-01-01T00:00:00Z",
    "other-digits": "203\u0660-01-01T00:00:00Z",
    "trailing-line-feed": "2030-01-01T00:00:00Z\n",
    "empty": "",
    "number": 1893456000,
    "null": None,
    "century-with-leap-day": "2000-02-29T00:00:00Z",
    "before-1970": "1969-12-31T23:59:59.999999Z",
    "last-of-its-day": "2030-12-31T23:59:59Z",
    "century-without-leap-day": "2100-02-29T00:00:00Z",
    "second-60": "2030-01-01T00:00:60Z",
    "hour-25": "2030-01-01T25:00:00Z",
    "day-0": "2030-01-00T00:00:00Z",
    "day-31-of-30": "2030-04-31T00:00:00Z",
    "month-0": "2030-00-01T00:00:00Z",
    "one-digit-month": "2030-1-01T00:00:00Z",
    "leading-space": " 2030-01-01T00:00:00Z",
    "nine-digits": "2030-01-01T00:00:00.123456789Z",
}
_KEYS: Final[Mapping[str, list[str]]] = {
    "plain": ["k-1"],
    "one": ["k"],
    "every-visible-character": ["!#$%&'()*+,-./09:;<=>?@AZ[\\]^_`az{|}~"],
    "quote-inside": ['k"1'],
    "longest": ["k" * 255],
    "quoted": ['"k-1"'],
    "quoted-longest": [f'"{"k" * 255}"'],
    "white-space-around": [" \tk-1 "],
    "escaped-quote": ['"k\\"1"'],
    "escaped-backslash": ['"k\\\\1"'],
    "none": [],
    "empty": [""],
    "blank": ["  "],
    "too-long": ["k" * 256],
    "quoted-empty": ['""'],
    "quoted-too-long": [f'"{"k" * 256}"'],
    "unclosed": ['"k-1'],
    "parameter-after": ['"k-1";a=1'],
    "other-escape": ['"k\\n1"'],
    "space-inside": ["k 1"],
    "quoted-space-inside": ['"k 1"'],
    "control-character": ["k\x011"],
    "not-ascii": ["k\u00e9"],
    "two-headers": ["k-1", "k-1"],
    "parameter-after-a-bare-key": ["k;a=1"],
    "comma": ["k,l"],
    "white-space-around-quotes": ['\t"k-1" '],
    "name-of-a-prototype": ["__proto__"],
    "quote-alone": ['"'],
    "quote-inside-quotes": ['"k"1"'],
    "backslash-at-the-end": ['"k\\"'],
    "white-space-inside-quotes": ['" k"'],
    "no-break-space-around": ["\u00a0k"],
    "delete": ["k\x7f"],
    "quoted-delete": ['"k\x7f"'],
    "two-different-headers": ["k-1", "k-2"],
}
_CREDENTIALS: Final[Mapping[str, list[str]]] = {
    "plain": ["Bearer cae_live_k1"],
    "lower-case-scheme": ["bearer cae_live_k1"],
    "two-spaces": ["Bearer  cae_live_k1"],
    "white-space-around": [" Bearer cae_live_k1\t"],
    "none": [],
    "empty": [""],
    "no-key": ["Bearer"],
    "no-scheme": ["cae_live_k1"],
    "basic": ["Basic Y2FlOmsx"],
    "space-inside": ["Bearer cae_live k1"],
    "not-ascii": ["Bearer cae_live_\u00e9"],
    "two-headers": ["Bearer cae_live_k1", "Bearer cae_live_k1"],
    "upper-case-scheme": ["BEARER cae_live_k1"],
    "every-visible-character": ["Bearer !#$%&'()*+,-./09:;<=>?@AZ[\\]^_`az{|}~\""],
    "space-alone-after-the-scheme": ["Bearer "],
    "tab-after-the-scheme": ["Bearer\tcae_live_k1"],
    "no-space-after-the-scheme": ["Bearercae_live_k1"],
    "scheme-not-in-front": ["x Bearer cae_live_k1"],
    "delete": ["Bearer cae_live_k1\x7f"],
    "two-keys-in-one-header": ["Bearer cae_live_k1, Bearer cae_live_k2"],
    "two-different-headers": ["Bearer cae_live_k1", "Basic Y2FlOmsx"],
}


def app_user_ids() -> Iterator[Case]:
    """Yield ids of app users: opaque, compared exactly."""
    return _parsed("app-user-id", _USERS, parse_app_user_id)


def uuids() -> Iterator[Case]:
    """Yield UUIDs with hyphens: read in any case, written in lower case."""
    return _parsed("uuid", _UUIDS, lambda value: parse_uuid("id", value))


def data_packages() -> Iterator[Case]:
    """Yield sets of data packages: read in any order, written sorted and without repeats."""
    return _parsed("data-packages", _SETS, lambda value: list(parse_data_packages(value)))


def times() -> Iterator[Case]:
    """Yield RFC 3339 times: written in their shortest form."""
    return _parsed("time", _TIMES, lambda value: format_time(parse_time("time", value)))


def _parsed(
    name: str, texts: Mapping[str, object], parse: Callable[[object], object]
) -> Iterator[Case]:
    for word, text in texts.items():
        try:
            value = parse(text)
        except ArgumentError:
            answer: dict[str, object] = {"outcome": "error"}
            verdict = Verdict.INVALID
        else:
            answer = {"outcome": "done", "value": value}
            verdict = Verdict.VALID if value == text else Verdict.ACCEPTABLE
        yield Case(
            id=f"{name}/{word}", input={"value": text}, answer=answer, rule=None, verdict=verdict
        )


def idempotency_keys() -> Iterator[Case]:
    """Yield `Idempotency-Key` headers: one key, bare or quoted."""
    for word, values in _KEYS.items():
        headers = tuple(("Idempotency-Key", value) for value in values)
        body = ParsedBody({"appUserId": "user-1"})
        request = Request(
            method="POST", target="/api/sdk/v1/curae-connect/initiate", headers=headers, body=body
        )
        result = read(request, CALLER, START)
        name = f"idempotency-key/{word}"
        if isinstance(result, Call):
            plain = values == [result.key]
            verdict = Verdict.VALID if plain else Verdict.ACCEPTABLE
            answer = {"outcome": "done", "key": result.key}
            yield Case(
                id=name, input={"headerValues": values}, answer=answer, rule=None, verdict=verdict
            )
        else:
            rule = result.rules[-1]
            refusal: dict[str, object] = {"outcome": "refused", "status": result.status}
            yield Case(
                id=name,
                input={"headerValues": values},
                answer=refusal,
                rule=rule,
                verdict=Verdict.INVALID,
            )


def credentials() -> Iterator[Case]:
    """Yield `Authorization` headers."""
    for word, values in _CREDENTIALS.items():
        request = Request("GET", "/", tuple(("Authorization", value) for value in values))
        key = bearer(request)
        answer = {"sha256": None if key is None else key.digest()}
        verdict = Verdict.INVALID
        if key is not None:
            verdict = Verdict.VALID if values == _CREDENTIALS["plain"] else Verdict.ACCEPTABLE
        yield Case(
            id=f"authorization-header/{word}",
            input={"headerValues": values},
            answer=answer,
            rule=None,
            verdict=verdict,
        )
