"""Tests of the README and the pages: programs run, lists are complete, links resolve."""

from __future__ import annotations

import ast
import json
import re
import tomllib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import pytest

from curae_lifecycle import Authorized, ConnectionId, RandomIds, Request, Response, standing
from curae_lifecycle.cli import main as command_line
from curae_lifecycle.replay.log import replay
from curae_lifecycle.rules.credentials import CONNECTION_WRITE, ApiKey, Caller
from curae_lifecycle.rules.values import ApiKeyId, AppId, CustomerAccountId, Environment
from curae_lifecycle.service.rulebook import TABLES
from curae_lifecycle.service.settings import DEFAULT_SETTINGS, Settings
from curae_lifecycle.stores import memory
from curae_lifecycle.testing import laws
from tests.support.instants import handle_at, record_at
from tests.support.paths import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
KEY = "cae_live_k1"


def block(text: str, language: str) -> str:
    found = re.search(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


def world(settings: Settings = DEFAULT_SETTINGS) -> memory.MemoryStore:
    store = memory.MemoryStore(settings)
    account = CustomerAccountId("d8c60791-7301-441c-98e8-5bea9a162d9b")
    scopes = frozenset({CONNECTION_WRITE})
    caller = Caller(
        api_key_id=ApiKeyId("key-1"),
        app_id=AppId("app-1"),
        customer_account_id=account,
        environment=Environment.LIVE,
        scopes=scopes,
    )
    store.register(ApiKey(KEY), caller)
    return store


def request(method: str, target: str, key: str = "", body: bytes = b"") -> Request:
    keyed = (("idempotency-key", key),) if key else ()
    return Request(
        method=method,
        target=target,
        headers=(("authorization", f"Bearer {KEY}"), *keyed),
        body=body,
    )


def readme_endpoint(store: memory.MemoryStore) -> Callable[[Request], Response]:
    """Return the README's endpoint on another store."""
    namespace: dict[str, object] = {}
    exec(block(README, "python"), namespace)  # noqa: S102 - the README's own code
    namespace["store"] = store
    return cast("Callable[[Request], Response]", namespace["endpoint"])


def create(key: str) -> Request:
    body = b'{"appUserId": "ada", "dataPackages": ["clinical_summary"]}'
    return request("POST", target="/api/sdk/v1/connections", key=key, body=body)


def test_readme_endpoint_serves_a_request() -> None:
    endpoint = readme_endpoint(world())
    made = endpoint(create("k-1"))
    assert made.status == 201
    connection_id = json.loads(made.body)["connection"]["id"]
    got = endpoint(request("GET", f"/api/sdk/v1/connections/{connection_id}"))
    assert json.loads(got.body)["connection"]["status"] == "PENDING"
    assert endpoint(Request("GET", "/")).status == 401


def test_readme_endpoint_accepts_its_registered_api_key() -> None:
    namespace: dict[str, object] = {}
    exec(block(README, "python"), namespace)  # noqa: S102 - the README's own code
    endpoint = cast("Callable[[Request], Response]", namespace["endpoint"])
    assert endpoint(create("k-1")).status == 201


def test_readme_endpoint_refuses_api_key_of_another_environment() -> None:
    asked = request("GET", "/api/sdk/v1/curae-connect/account-state?appUserId=ada")
    elsewhere = readme_endpoint(world(Settings(environment=Environment.TEST)))
    assert json.loads(elsewhere(asked).body)["code"] == "WRONG_ENVIRONMENT"
    assert readme_endpoint(world())(asked).status == 200


def test_readme_endpoint_has_at_most_15_lines() -> None:
    lines = [line for line in block(README, "python").splitlines() if line.strip()]
    assert len(lines) <= 15


def test_readme_sql_snippet_imports_every_name_it_uses() -> None:
    tree = ast.parse(block(README, "py"))
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    namespace: dict[str, object] = {}
    exec(compile(ast.Module([*imports], []), "README.md", "exec"), namespace)  # noqa: S102 - its own
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    bound = {node.id for node in names if isinstance(node.ctx, ast.Store)} | namespace.keys()
    assert {node.id for node in names} <= bound


def test_readme_lists_every_command() -> None:
    listed = re.findall(r"^\$ (.*)$", README, re.MULTILINE)
    assert listed == re.findall(r"^python -m .*$", command_line.__doc__ or "", re.MULTILINE)
    assert {line.split()[3] for line in listed} == command_line.COMMANDS.keys()


def test_readme_python_versions_and_license_match_pyproject() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    prefix = "Programming Language :: Python :: 3."
    *before, last = [
        f"3.{each.removeprefix(prefix)}"
        for each in project["classifiers"]
        if each.startswith(prefix)
    ]
    (dependency,) = project["dependencies"]
    said = f"Python {', '.join(before)} and {last} · {project['license']} · typed · one dependency, attrs"
    assert f"\n{said}\n" in README
    assert dependency.startswith("attrs>=")
    assert "Typing :: Typed" in project["classifiers"]


def test_readme_chain_picture_matches_what_the_store_answers() -> None:
    """Compare each connection of the picture with the rules, in order."""
    drawn = block(README, "text")
    now = datetime(2030, 1, 5, 9, tzinfo=UTC)
    store = world()
    rules: list[str] = []
    statuses: list[list[str]] = []

    def post(target: str, key: str, body: bytes = b"{}") -> ConnectionId:
        sent = request("POST", target=f"/api/sdk/v1/connections{target}", key=key, body=body)
        answer = handle_at(store, sent, now, new_ids=RandomIds("https://connect.example/")(now))
        rules.append(answer.rules[-1])
        return ConnectionId(json.loads(answer.response.body)["connection"]["id"])

    def seen(connection_id: ConnectionId) -> str:
        found = store.connection(connection_id)
        assert found is not None
        return str(standing(found, now, era=None))

    a = post("", "k-1", b'{"appUserId": "ada", "dataPackages": ["labs"]}')
    statuses.append([seen(a)])
    authorized = record_at(store, Authorized(a, now + timedelta(days=1)), now)
    rules[-1] = authorized.rules[-1]
    statuses[-1].append(seen(a))
    now += timedelta(days=1)
    statuses[-1].append(seen(a))
    b = post(f"/{a}:reconnect", "k-2")
    statuses.append([seen(b)])
    post(f"/{b}:revoke", "k-3")
    statuses[-1].append(seen(b))
    c = post(f"/{b}:reconnect", "k-4")
    statuses.append([seen(c)])
    # A recovered connection is unchanged.
    assert (seen(a), seen(b)) == ("EXPIRED", "REVOKED")
    assert re.findall(r"[\w-]+\.[\w.-]+", drawn) == rules
    of_each = re.split(r"^[ABC] ", drawn, flags=re.MULTILINE)[1:]
    assert [re.findall(r"\b[A-Z]{6,}\b", each) for each in of_each] == statuses


def test_readme_states_the_number_of_rule_tables() -> None:
    assert f"[{len(TABLES)} tables](docs/tables/README.md)" in README


def test_example_log_of_the_replay_docs_page_runs() -> None:
    text = block((ROOT / "docs/replay.md").read_text(encoding="utf-8"), "json")
    answers = list(replay(line.encode() for line in text.splitlines()))
    assert len(answers) == 5
    assert not any(line.broken for line in answers)
    assert answers[-1].answer["granted"] is True


@pytest.mark.parametrize(
    "page",
    # A virtual environment or a tutorial folder holds pages of others.
    [path for path in ROOT.glob("**/*.md") if not {".venv", "tutorial"} & {*path.parts}],
    ids=str,
)
def test_links_between_docs_pages_resolve(page: Path) -> None:
    # A regular expression in code may look like a link.
    text = re.sub(r"`[^`\n]*`", "", page.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", text):
        assert (page.parent / target).exists(), (page.name, target)


def test_every_law_has_a_test_and_a_row_on_the_correctness_page() -> None:
    page = (ROOT / "docs/correctness.md").read_text(encoding="utf-8")
    shown = re.findall(
        r"^### Law (\d+)\n(?:(?!##).*\n)*?- Shown by: `(tests/[\w/]+\.py)::(test_\w+)`$",
        page,
        re.MULTILINE,
    )
    rows = re.findall(r"^\| (\d+) \|", page, re.MULTILINE)
    assert [int(number) for number in rows] == list(laws.LAWS)
    assert [int(number) for number, _, _ in shown] == list(laws.LAWS)
    for number, file, name in shown:
        assert name.startswith(f"test_law_{int(number):02}_")
        assert f"def {name}(" in (ROOT / file).read_text(encoding="utf-8")


@pytest.mark.slow
def test_programs_of_the_testing_docs_page_run() -> None:
    text = (ROOT / "docs/testing.md").read_text(encoding="utf-8")
    programs = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert len(programs) == 2
    for program in programs:
        namespace: dict[str, object] = {}
        exec(program, namespace)  # noqa: S102 - the page's own code
        for name, value in namespace.items():
            if name.startswith("test_") and callable(value):
                value()


def test_testing_docs_page_names_every_law_check() -> None:
    page = (ROOT / "docs/testing.md").read_text(encoding="utf-8")
    checks = {name for name in vars(laws) if name.startswith("check_")}
    assert set(re.findall(r"`(check_\w+)`", page)) == checks
