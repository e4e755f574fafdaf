"""Mutants of the stores that no caller can tell from the code, each with the proof.

The law of this module is that of `equivalent.py`: **every entry has a proof**.
"""

from __future__ import annotations

from typing import Final

from benchmarks.equivalent import Key

_ANY_CASE: Final = "Python reads the name of infinity in either case."
_FALSY: Final = "It is only asked whether it is true."
_NOT_NONE: Final = "The callers that can get it only ask whether it is None."
_DROPPED: Final = "`ObjectCodec` names the member at fault, and drops this error with its words."
_NEWEST: Final = "A document of the newest form is read the same after its upgrades: it has none."

_FOUND: Final = (
    'found: list[tuple[str, str]] = _STATEMENT_TIMEOUT.findall(str(options.get("options", '
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
            "stores.django.checks._check_postgresql",
            'configured = [*options, str(options.get("options", ""))]',
            f'configured = [*options, str(options.get("options", {other}))]',
        ): "No such text names a timeout."
        for other in ("None", "", '"XXXX"')
    },
    **{
        (
            "stores.django.database.configured_timeout",
            f'{_FOUND}"")))',
            f"{_FOUND}{other})))",
        ): "No such text names a timeout."
        for other in ("None", "", '"XXXX"')
    },
    **{
        (
            f"stores.django.socket_watchdog.SocketWatchdog.{function}",
            f'{line} float("inf")',
            f'{line} float("INF")',
        ): _ANY_CASE
        for function, line in (
            ("__init__", "self._wakes_at ="),
            ("_run", "self._wakes_at ="),
            ("_run", "each.until ="),
            ("_run", "forever = self._wakes_at =="),
        )
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
        "stores.redis.limits._state",
        'form, *parts = held.split(" ")',
        "form, *parts = held.split(None)",
    ): "One space is between the parts of a stored state.",
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
}
"""Function, the line as it is, the line as it was changed: why no caller can tell."""
