"""Writes the pages of the API and of its events: `python docs/api/write.py [--check]`.

The law of this module: **a page says what a document says, and all of it**. The pages are written from
`docs/openapi.json` and `docs/asyncapi.json` alone; where one of these says something that has no place
on a page, nothing is written.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, TypeAlias

HERE: Final = Path(__file__).resolve().parent

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
Object: TypeAlias = "dict[str, Json]"

SCHEMA_REF: Final = "#/components/schemas/"
HEADER_REF: Final = "#/components/headers/"
MESSAGE_REF: Final = "#/components/messages/"

SAID: Final = frozenset(
    {
        *("$ref", "const", "enum", "type", "format", "pattern", "minLength", "maxLength"),
        *("minimum", "default", "description", "items", "minItems", "maxItems", "properties"),
        *("required", "additionalProperties"),
    }
)
"""What a schema may say here."""

FORMATS: Final = {
    "uuid": "UUID",
    "date-time": "time as RFC 3339 has it",
    "uri": "URI",
    "uri-reference": "URI or a relative reference",
}


def load(name: str) -> Object:
    """One of the two documents."""
    return obj(json.loads((HERE.parent / name).read_text(encoding="utf-8")))


def obj(value: Json) -> Object:
    """A value of a document that is an object, by the document's own law."""
    assert isinstance(value, dict), value  # noqa: S101 - the documents are the library's own
    return value


def items(value: Json) -> list[Json]:
    """The same for an array."""
    assert isinstance(value, list), value  # noqa: S101 - the documents are the library's own
    return value


# --- Text ---------------------------------------------------------------------------------------


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table in Markdown."""
    head = list(head)
    lines = [head, ["---"] * len(head), *rows]
    return "".join(
        f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines
    )


def block(value: Json) -> str:
    """An example, as it stands in a page."""
    return f"```json\n{json.dumps(value, indent=2, ensure_ascii=False)}\n```\n"


def code(value: Json) -> str:
    """A value in code."""
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def page_of(operation_id: str) -> str:
    """The file of an operation's page."""
    return re.sub("([A-Z])", r"-\1", operation_id).lower() + ".md"


def problem_page(code_: str) -> str:
    """The page of a problem, seen from here."""
    return f"../problems/{code_.lower().replace('_', '-')}.md"


# --- Schemas ------------------------------------------------------------------------------------


def schema_link(ref: Json, homes: Mapping[str, str]) -> str:
    """A link to where a schema is described.

    Args:
        ref: A reference to it.
        homes: The page of each schema.
    """
    name = str(ref).removeprefix(SCHEMA_REF)
    return f"[`{name}`]({homes[name]}#{name.lower()})"


def holds(schema: Object, homes: Mapping[str, str]) -> str:
    """What a schema lets through, in words; members of an object are told one by one."""
    unknown = schema.keys() - SAID
    if unknown:
        raise SystemExit(f"no page says what {', '.join(sorted(unknown))} means in a schema")
    said = [", ".join(_kinds(schema, homes))]
    if "default" in schema:
        said.append(f"{code(schema['default'])} where it is left out")
    said += _described(schema)
    return ". ".join(said)


def _kinds(schema: Object, homes: Mapping[str, str]) -> Iterator[str]:
    if "$ref" in schema:
        yield schema_link(schema["$ref"], homes)
    elif "const" in schema:
        yield code(schema["const"])
    elif "enum" in schema:
        yield "one of " + ", ".join(code(each) for each in items(schema["enum"]))
    elif schema["type"] == "array":
        least, most = schema["minItems"], schema["maxItems"]
        yield f"array of {least} to {most}, each: {holds(obj(schema['items']), homes)}"
    else:
        types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        form = schema.get("format")
        named = [FORMATS[str(form)] if each == "string" and form else each for each in types]
        yield " or ".join(str(each) for each in named)
        if "minLength" in schema:
            yield f"{schema['minLength']} to {schema['maxLength']} characters"
        if "minimum" in schema:
            yield f"at least {schema['minimum']}"
        if "pattern" in schema:
            yield f"matching {code(schema['pattern'])}"


def members(
    schema: Object, homes: Mapping[str, str], within: str = ""
) -> Iterator[tuple[str, str, str]]:
    """Each member of an object: its name, whether it is always there, and what it holds."""
    if schema.get("additionalProperties") is not False:
        raise SystemExit(f"no page says that {within or 'an object'} may have other members")
    required = items(schema["required"])
    for name, each in obj(schema["properties"]).items():
        member = obj(each)
        always = "yes" if name in required else "no"
        yield f"`{within}{name}`", always, holds(member, homes)
        if member.get("type") == "object":
            yield from members(member, homes, f"{within}{name}.")


def described(name: str, schema: Object, homes: Mapping[str, str], level: str = "##") -> str:
    """The section of a schema."""
    said = f"{level} {name}\n\n"
    if "description" in schema:
        is_problem = name.isupper()
        text = str(schema["description"])
        said += f"[{text}]({problem_page(name)}).\n\n" if is_problem else f"{text}\n\n"
    rows = list(members(schema, homes))
    if not rows:
        return said + "An object without members.\n"
    return said + table(("member", "always", "holds"), rows)


# --- Operations ---------------------------------------------------------------------------------


def operations(document: Object) -> Iterator[tuple[str, str, Object]]:
    """Each operation with its method and its path."""
    for path, methods in obj(document["paths"]).items():
        for method, operation in obj(methods).items():
            yield method.upper(), path, obj(operation)


def operation_page(method: str, path: str, operation: Object, document: Object) -> str:
    """The page of an operation: what it takes, and what it answers with each status."""
    homes = homes_of(document)
    parts = [
        f"# {operation['summary']}\n\n```text\n{method} {path}\n```\n\n{operation['description']}\n\n",
        "It takes [an API key](README.md#api-key)",
        f" with the scope `{operation['x-scope']}`.\n"
        if "x-scope" in operation
        else " of any scope.\n",
    ]
    parameters = [obj(each) for each in items(operation["parameters"])]
    if parameters:
        rows = [
            (
                f"`{each['name']}`",
                str(each["in"]),
                "yes" if each.get("required") else "no",
                code(each["example"]),
                ". ".join([holds(obj(each["schema"]), homes), *_described(each)]),
            )
            for each in parameters
        ]
        head = ("name", "in", "required", "for example", "holds")
        parts.append(f"\n## Parameters\n\n{table(head, rows)}")
    if "requestBody" in operation:
        parts.append(_body(obj(operation["requestBody"]), homes))
    parts.append("\n## Answers\n")
    for status, answer in obj(operation["responses"]).items():
        parts.append(_answer(status, obj(answer), document))
    return "".join(parts)


def _described(value: Object) -> Iterator[str]:
    if "description" in value:
        yield str(value["description"]).rstrip(".")


def _body(body: Object, homes: Mapping[str, str]) -> str:
    said = "\n## Body\n\n"
    for kind, content in obj(body["content"]).items():
        held = obj(content)
        ref = obj(held["schema"])["$ref"]
        needed = "required" if body["required"] else "may be left out"
        said += f"`{kind}`, {needed}: {schema_link(ref, homes)}. {body['description']}\n\n"
        said += block(held["example"])
    return said


def _answer(status: str, answer: Object, document: Object) -> str:
    homes = homes_of(document)
    said = f"\n### {status}\n\n{str(answer['description']).rstrip('.')}.\n"
    for kind, content in obj(answer.get("content", {})).items():
        held = obj(content)
        schema = obj(held["schema"])
        examples = obj(held["examples"])
        refs = [obj(each)["$ref"] for each in items(schema.get("oneOf", [schema]))]
        if kind == "application/problem+json":
            codes = [str(ref).removeprefix(SCHEMA_REF) for ref in refs]
            rows = [
                (
                    f"[`{name}`]({problem_page(name)})",
                    schema_link(ref, homes),
                    _detail(examples[name]),
                )
                for name, ref in zip(codes, refs, strict=True)
            ]
            said += f"\n`{kind}`; the page of a code shows it whole.\n\n"
            said += table(("code", "schema", "detail, for example"), rows)
        else:
            linked = " or ".join(schema_link(ref, homes) for ref in refs)
            said += f"\n`{kind}`: {linked}.\n"
            for name, example in examples.items():
                said += f"\nFor example, `{name}`:\n\n{block(obj(example)['value'])}"
    headers = obj(answer.get("headers", {}))
    if headers:
        named = ", ".join(f"[`{name}`](README.md#{name.lower()})" for name in headers)
        said += f"\nHeaders: {named}.\n"
    links = obj(answer.get("links", {}))
    if links:
        named = ", ".join(_link(obj(link)) for link in links.values())
        said += f"\nWhat may follow: {named}.\n"
    return said


def _detail(example: Json) -> str:
    # What stands between angle brackets is no element.
    return str(obj(obj(example)["value"])["detail"]).replace("<", "\\<")


def _link(link: Object) -> str:
    name = str(link["operationId"])
    given = ", ".join(f"`{key}` from `{value}`" for key, value in obj(link["parameters"]).items())
    return f"[`{name}`]({page_of(name)}) with {given}"


# --- Pages --------------------------------------------------------------------------------------


def homes_of(document: Object) -> dict[str, str]:
    """The page of each schema of the API."""
    return dict.fromkeys(obj(obj(document["components"])["schemas"]), "schemas.md")


def front_page(document: Object) -> str:
    """What holds for all operations, and the list of them."""
    info, components = obj(document["info"]), obj(document["components"])
    (key,) = obj(components["securitySchemes"]).values()
    rows = [
        (
            f"[{operation['summary']}]({page_of(str(operation['operationId']))})",
            f"`{method} {path}`",
            ", ".join(str(tag) for tag in items(operation["tags"])),
        )
        for method, path, operation in operations(document)
    ]
    tags = [obj(tag) for tag in items(document["tags"])]
    said = (
        f"# The API\n\n{info['title']}. {info['summary']} {info['description']}\n\n"
        "These pages are written from [`openapi.json`](../openapi.json) and "
        "[`asyncapi.json`](../asyncapi.json), which other tools read: `python docs/api/write.py`. "
        "A client in TypeScript takes [its types](../typescript.md) from them.\n\n"
        f"## Operations\n\n{table(('operation', 'request', 'about'), rows)}\n"
        f"{table(('about', 'is'), [(str(tag['name']), str(tag['description'])) for tag in tags])}\n"
        "## Values and events\n\n"
        "- [Schemas](schemas.md): what bodies and problems hold.\n"
        "- [Events](events.md): what is delivered when something happened.\n\n"
        f"## API key\n\n`Authorization: Bearer` and the key. {obj(key)['description']}\n\n"
        "## Headers of answers\n"
    )
    homes = homes_of(document)
    for name, each in obj(components["headers"]).items():
        header = obj(each)
        described_ = f" {header['description']}" if "description" in header else ""
        example = f" For example {code(header['example'])}." if "example" in header else ""
        said += (
            f"\n### {name}\n\nHolds: {holds(obj(header['schema']), homes)}.{described_}{example}\n"
        )
    return said


def schemas_page(document: Object) -> str:
    """Every schema of the API."""
    homes = homes_of(document)
    schemas = obj(obj(document["components"])["schemas"])
    said = "# Schemas\n\nWhat bodies hold, and then what each problem holds. No object has other members.\n"
    for name, schema in schemas.items():
        said += "\n" + described(name, obj(schema), homes)
    return said


def events_page(document: Object, api: Object) -> str:
    """Every event, and the schemas that only events have."""
    info, components = obj(document["info"]), obj(document["components"])
    schemas = obj(components["schemas"])
    shared = obj(obj(api["components"])["schemas"])
    homes = {
        name: "schemas.md" if shared.get(name) == schema else "events.md"
        for name, schema in schemas.items()
    }
    (operation,) = obj(document["operations"]).values()
    (channel,) = obj(document["channels"]).values()
    said = (
        f"# Events\n\n{info['title']}. {info['description']}\n\n"
        f"{obj(operation)['summary']} {obj(channel)['description']} "
        f"Each is `{document['defaultContentType']}`. [The outbox](../outbox.md) says how they are shipped.\n"
    )
    for reference in obj(obj(channel)["messages"]).values():
        ref = str(obj(reference)["$ref"]).removeprefix(MESSAGE_REF)
        message = obj(obj(components["messages"])[ref])
        said += f"\n## {message['name']}\n\n{message['summary']}\n\n"
        said += table(("member", "always", "holds"), members(obj(message["payload"]), homes))
    for name, schema in schemas.items():
        if homes[name] == "events.md":
            said += "\n" + described(name, obj(schema), homes)
    return said


def pages() -> dict[str, str]:
    """Every page by its file name."""
    api, events = load("openapi.json"), load("asyncapi.json")
    return {
        "README.md": front_page(api),
        **{
            page_of(str(operation["operationId"])): operation_page(
                method, path=path, operation=operation, document=api
            )
            for method, path, operation in operations(api)
        },
        "schemas.md": schemas_page(api),
        "events.md": events_page(events, api),
    }


def main() -> None:
    """Write the pages, or with `--check` name those that are stale and fail."""
    if sys.argv[1:] not in ([], ["--check"]):
        raise SystemExit("usage: python docs/api/write.py [--check]")
    wanted = pages()
    if sys.argv[1:]:
        found = {path.name: path.read_text(encoding="utf-8") for path in HERE.glob("*.md")}
        names = sorted(wanted.keys() | found.keys())
        stale = [name for name in names if wanted.get(name) != found.get(name)]
        if stale:
            raise SystemExit(f"stale, write again: {', '.join(stale)}")
        return
    for name, text in wanted.items():
        (HERE / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
