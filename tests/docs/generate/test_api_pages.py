"""Tests that the pages of the API and its events contain all of their documents."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

import pytest

from curae_lifecycle.service.json_schema import Json
from docs.generate import api
from tests.support.paths import ROOT

FOLDER: Final = ROOT / "docs" / "api"
TEXTS: Final = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.md")}
OPENAPI: Final = json.loads((ROOT / "docs/openapi.json").read_text(encoding="utf-8"))
ASYNCAPI: Final = json.loads((ROOT / "docs/asyncapi.json").read_text(encoding="utf-8"))
OPERATIONS: Final = {
    operation["operationId"]: (method.upper(), path, operation)
    for path, methods in OPENAPI["paths"].items()
    for method, operation in methods.items()
}

each_operation = pytest.mark.parametrize("name", OPERATIONS)


def page(name: str) -> str:
    return TEXTS[re.sub("([A-Z])", r"-\1", name).lower() + ".md"]


def section(text: str, heading: str) -> str:
    """Return the text below a heading, up to the next heading of its level."""
    level = heading.partition(" ")[0]
    assert text.count(f"\n{heading}\n") == 1, heading
    rest = text.partition(f"\n{heading}\n")[2]
    return re.split(rf"^#{{1,{len(level)}}} ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def examples(text: str) -> list[Json]:
    return [json.loads(each) for each in re.findall(r"```json\n(.*?)```", text, re.DOTALL)]


@each_operation
def test_operation_docs_page_has_parameters_scope_and_body(name: str) -> None:
    method, path, operation = OPERATIONS[name]
    text = page(name)
    assert f"\n{method} {path}\n" in text
    assert operation["summary"] in text.partition("\n")[0]
    assert operation["description"] in text
    assert ("x-scope" in operation) == (f"the scope `{operation.get('x-scope')}`" in text)
    rows = re.findall(r"^\| `([\w-]+)` \| (\w+) \| (\w+) \|", text, re.MULTILINE)
    assert rows == [
        (each["name"], each["in"], "yes" if each.get("required") else "no")
        for each in operation["parameters"]
    ]
    for each in operation["parameters"]:
        assert f"| `{each['example']}` |" in text
        assert each.get("description", "").rstrip(".") in text
    assert ("requestBody" in operation) == ("\n## Body\n" in text)
    if "requestBody" in operation:
        (content,) = operation["requestBody"]["content"].values()
        body = section(text, "## Body")
        assert f"#{content['schema']['$ref'].rpartition('/')[2].lower()})" in body
        assert examples(body) == [content["example"]]
        assert ("required:" in body) == operation["requestBody"]["required"]


@each_operation
def test_operation_docs_page_has_examples_of_every_http_status(name: str) -> None:
    text = page(name)
    responses = OPERATIONS[name][2]["responses"]
    assert re.findall(r"^### (.*)$", text, re.MULTILINE) == list(responses)
    for status, answer in responses.items():
        said = section(text, f"### {status}")
        assert answer["description"].rstrip(".") in said
        named = re.findall(r"\[`([\w-]+)`\]\(README\.md#", said)
        assert named == list(answer.get("headers", {}))
        assert re.findall(r"\[`(\w+)`\]\([a-z-]+\.md\) with", said) == list(answer.get("links", {}))
        shown: list[Json] = []
        for kind, content in answer.get("content", {}).items():
            assert f"`{kind}`" in said
            refs = content["schema"].get("oneOf", [content["schema"]])
            schemas = [ref["$ref"].rpartition("/")[2] for ref in refs]
            assert re.findall(r"\[`\w+`\]\(schemas\.md#(\w+)\)", said) == [
                each.lower() for each in schemas
            ]
            values = [each["value"] for each in content["examples"].values()]
            if kind == "application/json":
                shown += values
            else:
                problems(said, list(content["examples"]), values)
        assert examples(said) == shown


def problems(said: str, codes: list[str], values: list[dict[str, Json]]) -> None:
    """Check that each code links its page, which shows an example with the same members."""
    led = re.findall(r"^\| \[`(\w+)`\]\(\.\./problems/([\w-]+\.md)\)", said, re.MULTILINE)
    assert [code for code, _ in led] == codes == [value["code"] for value in values]
    for (_, file), value in zip(led, values, strict=True):
        assert str(value["type"]).endswith("/" + file.removesuffix(".md"))
        assert str(value["detail"]).replace("<", "\\<") in said
        (shown,) = examples((ROOT / "docs/problems" / file).read_text(encoding="utf-8"))
        assert isinstance(shown, dict)
        assert shown.keys() == value.keys()
        assert dict(shown, details=None, detail=None) == dict(value, details=None, detail=None)


def test_api_index_lists_exactly_the_operations() -> None:
    listed = re.findall(
        r"^\| \[.*\]\((\S+)\) \| `(\w+) (\S+)` \|", TEXTS["README.md"], re.MULTILINE
    )
    assert [(method, path) for _, method, path in listed] == [
        (method, path) for method, path, _ in OPERATIONS.values()
    ]
    assert {file for file, _, _ in listed} == TEXTS.keys() - {
        "README.md",
        "schemas.md",
        "events.md",
    }


def test_api_docs_describe_every_response_header() -> None:
    for name, header in OPENAPI["components"]["headers"].items():
        said = section(TEXTS["README.md"], f"### {name}")
        assert header.get("description", "") in said
        example = f" For example `{header['example']}`." if "example" in header else ""
        assert example in said


def members(schema: dict[str, Json], within: str = "") -> Iterator[tuple[str, str]]:
    properties, required = schema["properties"], schema["required"]
    assert isinstance(properties, dict)
    assert isinstance(required, list)
    for name, each in properties.items():
        assert isinstance(each, dict)
        yield f"{within}{name}", "yes" if name in required else "no"
        if "properties" in each:
            yield from members(each, f"{within}{name}.")


def values(schema: Json) -> Iterator[str]:
    """Yield every value and pattern of a schema, as a page shows it."""
    if isinstance(schema, dict):
        enum = schema.get("enum", [])
        assert isinstance(enum, list)
        named = [*enum, *(schema[key] for key in ("const", "default", "pattern") if key in schema)]
        for each in named:
            text = each if isinstance(each, str) else json.dumps(each)
            yield f"`{text}`".replace("|", "\\|")
        for each in schema.values():
            yield from values(each)


@pytest.mark.parametrize("name", OPENAPI["components"]["schemas"])
def test_api_docs_list_every_schema_with_its_members(name: str) -> None:
    schema = OPENAPI["components"]["schemas"][name]
    said = section(TEXTS["schemas.md"], f"## {name}")
    assert told(said) == list(members(schema))
    assert schema.get("description", "") in said
    assert all(each in said for each in values(schema))


def told(said: str) -> list[tuple[str, str]]:
    return re.findall(r"^\| `([\w.]+)` \| (yes|no) \|", said, re.MULTILINE)


def test_api_docs_list_every_event_with_payload_and_subject() -> None:
    text = TEXTS["events.md"]
    for message in ASYNCAPI["components"]["messages"].values():
        said = section(text, f"## {message['name']}")
        assert message["summary"] in said
        assert told(said) == list(members(message["payload"]))
        subject = message["payload"]["properties"]["subject"]["$ref"].rpartition("/")[2]
        (home,) = re.findall(rf"\[`{subject}`\]\((\w+\.md)#{subject.lower()}\)", said)
        schema = ASYNCAPI["components"]["schemas"][subject]
        assert told(section(TEXTS[home], f"## {subject}")) == list(members(schema))
    for name, schema in ASYNCAPI["components"]["schemas"].items():
        if name not in OPENAPI["components"]["schemas"]:
            assert told(section(text, f"## {name}")) == list(members(schema))


@pytest.mark.parametrize("name", TEXTS)
def test_api_docs_headings_skip_no_level_and_tables_have_header(name: str) -> None:
    text = re.sub(r"```.*?```", "", TEXTS[name], flags=re.DOTALL)
    levels = [len(each) for each in re.findall(r"^(#+) ", text, re.MULTILINE)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    tables = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    for table in tables:
        head, rule, *rows = table.splitlines()
        columns = rule.count("---")
        assert rows
        assert all(cell.strip() for cell in head.strip("|").split("|"))
        for row in (head, *rows):
            assert len(re.findall(r"(?<!\\)\|", row)) == columns + 1


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ({"type": "string", "writeOnly": True}, "writeOnly"),
        ({"anyOf": [], "not": {}}, "anyOf, not"),
    ],
)
def test_unsupported_schema_keyword_stops_the_docs_generator(
    schema: dict[str, Json], why: str
) -> None:
    with pytest.raises(SystemExit, match=why):
        api.describe(schema, {})


def test_schema_allowing_unlisted_members_stops_docs_generator() -> None:
    schema: dict[str, Json] = {"type": "object", "properties": {}, "required": []}
    with pytest.raises(SystemExit, match="other members"):
        list(api.members(schema, {}))
