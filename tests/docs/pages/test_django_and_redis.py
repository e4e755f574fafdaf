"""Tests that the programs for a Django project and of the databases page run."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Final, cast

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory, override_settings

from curae_lifecycle.rules.credentials import ApiKey
from curae_lifecycle.stores.contract import Store
from curae_lifecycle.stores.django import checks
from curae_lifecycle.stores.sql.store import SqlStore
from tests.support.django_project import database
from tests.support.paths import ROOT
from tests.support.server import API_KEY, CALLER

DOCS: Final = ROOT / "docs"


def blocks(page: str) -> list[str]:
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def run(block: str) -> dict[str, object]:
    namespace: dict[str, object] = {}
    exec(block, namespace)  # noqa: S102 - the page's own code
    return namespace


@pytest.mark.slow
@pytest.mark.parametrize("raw", ["", "REQUEST_URI", "RAW_URI"])
def test_django_docs_page_view_serves_in_at_most_15_lines(url: str, raw: str) -> None:
    _, views = blocks("frameworks.md")[-2:]
    with database(url) as alias, override_settings(CURAE_LIFECYCLE_DATABASE=alias):
        page = run(views)
        store = cast("SqlStore", page["STORE"])
        store.register(ApiKey(API_KEY), CALLER)
        endpoint = cast("Callable[[HttpRequest], HttpResponse]", page["endpoint"])

        def send(
            method: str, path: str, body: bytes = b"", *, key: str = "k-1", tags: str = ""
        ) -> HttpResponse:
            headers = {"Authorization": f"Bearer {API_KEY}", "If-None-Match": tags}
            headers |= {"Idempotency-Key": key} if method == "POST" else {}
            target = f"/api/sdk/v1/{path}"
            # Not every server passes the target as it was sent.
            made = RequestFactory().generic(
                method, target, body, "application/json", headers=headers
            )
            made.META |= {raw: target} if raw else {}
            return endpoint(made)

        asked = b'{"appUserId": "user-1", "dataPackages": ["labs"]}'
        made = send("POST", "connections", asked)
        assert made.status_code == 201
        assert made["content-type"] == "application/json"
        assert send("POST", "connections", asked).content == made.content
        long = b'{"appUserId": "user-1", "dataPackages": ["labs"]' + b" " * 70_000 + b"}"
        assert send("POST", path="connections", body=long, key="k-2").status_code == 400
        assert send("GET", f"connections/{'0' * 8}-0000-4000-8000-{'0' * 12}").status_code == 404
        encoded = f"connections/{json.loads(made.content)['connection']['id']}%3Arevoke"
        assert send("POST", encoded, key="k-3").status_code == (404 if raw else 200)
        state = send("GET", "curae-connect/account-state?appUserId=user-1")
        assert state["content-type"] == "application/json"
        unchanged = send("GET", "curae-connect/account-state?appUserId=user-1", tags="*")
        assert unchanged.status_code == 304
        assert dict(unchanged.items()) == {
            "cache-control": state["cache-control"],
            "etag": state["etag"],
        }
    assert len([line for line in views.splitlines() if line and line[0] != "#"]) <= 15


def test_django_docs_page_settings_pass_the_system_checks() -> None:
    settings, _ = blocks("frameworks.md")[-2:]
    databases = cast("dict[str, dict[str, dict[str, object]]]", run(settings)["DATABASES"])
    assert [*checks._check_postgresql("it", databases["default"]["OPTIONS"])] == []


@pytest.mark.parametrize("number", range(len(blocks("databases.md"))))
def test_redis_programs_of_the_databases_docs_page_build_a_store(number: int) -> None:
    store = cast("Store", run(blocks("databases.md")[number])["store"])
    # The store sends no command yet, so no Redis is needed.
    assert store.caller_of("") is None
