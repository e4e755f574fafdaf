"""Mutants of the stores' loops that no caller can tell, each with the proof.

The law of this module is that of `equivalent.py`: **every entry has a proof**.
"""

from __future__ import annotations

from typing import Final

from benchmarks.equivalent import Key

_ANY_CASE: Final = "Python reads the name of infinity in either case."
_FALSY: Final = "It is only asked whether it is true."
_NOT_NONE: Final = "The callers that can get it only ask whether it is None."

EQUIVALENT_STORES: Final[dict[Key, str]] = {
    (
        "stores.external_call.ExternalCall.__attrs_post_init__",
        'if not 1 / SECOND <= self.lease < float("inf"):',
        'if not 1 / SECOND <= self.lease < float("INF"):',
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
}
"""Function, the line as it is, the line as it was changed: why no caller can tell."""
