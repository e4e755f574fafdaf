"""Equivalent mutants of the bodies of the conformance kit's checks, with proofs.

No server can distinguish them from the code.

The law of this module is that of `equivalent.py`: **every entry has a proof**.
"""

from __future__ import annotations

from typing import Final

from benchmarks.equivalent import Key

_KIT: Final = "testing.conformance"

EQUIVALENT_BODIES: Final[dict[Key, str]] = {
    (
        f"{_KIT}.accounts._not_modified",
        """for value in ('"other"', tag.strip('"'), f'"{tag[1:-1]}x"', f"w/{tag}"):""",
        """for value in ('"other"', tag.strip('XX"XX'), f'"{tag[1:-1]}x"', f"w/{tag}"):""",
    ): "A text without its quotes is no entity tag either way.",
    **{
        (
            f"{_KIT}.{function}",
            f"seconds = {before}",
            f"seconds = {other}",
        ): "The loop assigns it before it is read."
        for function, before, others in (
            ("buckets._one_bucket_per_key", "SMALL.window", ("None",)),
            ("buckets._bucket_refills", "0", ("None", "1")),
            ("limits._refusals_are_free", "0", ("None", "1")),
        )
        for other in others
    },
    (
        f"{_KIT}.buckets._charged_requests",
        "yield from _expect_charge(app, request, charged=False)",
        "yield from _expect_charge(app, request, charged=None)",
    ): "It is only asked whether it is true.",
    (
        f"{_KIT}.idempotency._keys_differ_at_the_end",
        'short, long = app.new_key(), (app.new_key() + "k" * 254)[:254]',
        'short, long = app.new_key(), (app.new_key() + "k" * 255)[:254]',
    ): "The slice cuts one more character off.",
    (
        f"{_KIT}.idempotency_key_header._key_valid",
        'longest = (app.new_key() + "x" * 255)[:255]',
        'longest = (app.new_key() + "x" * 256)[:255]',
    ): "The slice cuts one more character off.",
    (
        f"{_KIT}.idempotency_key_header._key_not_allowed",
        "plain = build_request(app, kind, member_values(connection_id))",
        "plain = build_request(app, kind, member_values(None))",
    ): "The only operation that allows no key does not take the id of a connection.",
    (
        f"{_KIT}.races._one_key_two_operations",
        'executed.count(True) == 1, f"{executed.count(True)} operations were executed instead of 1"',
        'executed.count(False) == 1, f"{executed.count(True)} operations were executed instead of 1"',
    ): "One of two is true if one of two is false.",
    **{
        (
            f"{_KIT}.races._two_sign_ups",
            "for fact, outcome in zip(facts, outcomes, strict=True):",
            f"for fact, outcome in zip(facts, outcomes, {other}):",
        ): "The runner gives one outcome for each of the concurrent steps."
        for other in ("strict=None", "strict=False", "")
    },
    **{
        (
            f"{_KIT}.recovery._chain_of_three",
            "for each, status in zip(ids, expected, strict=True):",
            f"for each, status in zip(ids, expected, {other}):",
        ): "The chain has three ids, and three statuses are expected."
        for other in ("strict=None", "strict=False", "")
    },
    (
        f"{_KIT}.recovery._reissue_moves_the_deadline",
        "span = min(connections.MINUTE, lapse / 4)",
        "span = min(connections.MINUTE, lapse / 5)",
    ): "The check reads after the first deadline and before the second with either span.",
    **{
        (
            f"{_KIT}.retention._reuse_changes_nothing",
            'key = client.headers(Response(0, request.headers, b""), "idempotency-key")[0]',
            f'key = client.headers(Response({other}), "idempotency-key")[0]',
        ): "`headers` reads the headers alone."
        for other in (
            'None, request.headers, b""',
            '1, request.headers, b""',
            "0, request.headers, None",
            '0, request.headers, b"XXXX"',
        )
    },
    (
        f"{_KIT}.revocation._rank_never_falls",
        "rank = ranks.index(status) if status in ranks else -1",
        "rank = ranks.index(status) if status in ranks else -2",
    ): "The rank of each known status is at least 0.",
    **{
        (
            f"{_KIT}.tombstones._nobody_bound",
            'connection_id = ""',
            f"connection_id = {other}",
        ): "The loop assigns it before it is read."
        for other in ("None", '"XXXX"')
    },
    (
        f"{_KIT}.wire._every_problem",
        '_check_problem(answer, client.document(answer), "CONNECTION_SUPERSEDED")',
        '_check_problem(answer, client.document(answer), "connection_superseded")',
    ): "The type of a problem ends with its code in lower case.",
    **{
        (
            f"{_KIT}.bodies._not_json",
            'yield from (text.encode(encoding) for encoding in ("utf-16", "utf-16-le", "utf-32"))',
            f"yield from (text.encode(encoding) for encoding in ({encodings}))",
        ): "Python takes the name of an encoding in any case."
        for encodings in (
            '"UTF-16", "utf-16-le", "utf-32"',
            '"utf-16", "UTF-16-LE", "utf-32"',
            '"utf-16", "utf-16-le", "UTF-32"',
        )
    },
    (
        f"{_KIT}.bodies._creates_up_to_the_bounds",
        'body = json.dumps({"appUserId": user, "dataPackages": ["labs"]}, ensure_ascii=False).encode()',
        'body = json.dumps({"appUserId": user, "dataPackages": ["labs"]}, ensure_ascii=None).encode()',
    ): "`json` asks only whether it is true.",
    (
        f"{_KIT}.tombstones._ends_every_access",
        "yield from later(app.context, min(connections.MINUTE, client.lifetime(another) / 2))",
        "yield from later(app.context, min(connections.MINUTE, client.lifetime(another) / 3))",
    ): "Any time within the lifetime of the page does.",
}
