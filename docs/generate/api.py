"""The pages of the API and of its events.

The law of this module: **a page says all that its document says, and nothing else**. The pages are
made from the OpenAPI and the AsyncAPI document alone. A member of these that has no place on a page
is an error.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Final, TypeAlias

from curae_lifecycle.cli.documents import document_text
from curae_lifecycle.cli.table_formats import markdown_table
from curae_lifecycle.service.json_schema import Json

Object: TypeAlias = "dict[str, Json]"

SCHEMA_REF: Final = "#/components/schemas/"
HEADER_REF: Final = "#/components/headers/"
MESSAGE_REF: Final = "#/components/messages/"

KEYWORDS: Final = frozenset(
    {
        *("$ref", "const", "enum", "type", "format", "pattern", "minLength", "maxLength"),
        *("minimum", "default", "description", "items", "minItems", "maxItems", "properties"),
        *("required", "additionalProperties"),
    }
)
"""The keywords of a schema that a page can show."""

FORMATS: Final = {
    "uuid": "UUID",
    "date-time": "time as RFC 3339 has it",
    "uri": "URI",
    "uri-reference": "URI or a relative reference",
}


def load(name: str) -> Object:
    """Return the document of the API, `openapi`, or of its events, `asyncapi`."""
    return obj(json.loads(document_text(name)))


def obj(value: Json) -> Object:
    """Return a value that the document says is an object."""
    assert isinstance(value, dict), value
    return value


def items(value: Json) -> list[Json]:
    """Return a value that the document says is an array."""
    assert isinstance(value, list), value
    return value


# --- Text ---------------------------------------------------------------------------------------


def block(value: Json) -> str:
    """Return an example as a block of JSON."""
    return f"```json\n{json.dumps(value, indent=2, ensure_ascii=False)}\n```\n"


def code(value: Json) -> str:
    """Return a value in backticks."""
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def page_of(operation_id: str) -> str:
    """Return the file name of an operation's page."""
    return re.sub("([A-Z])", r"-\1", operation_id).lower() + ".md"


def problem_page(code_: str) -> str:
    """Return the path of a problem's page, relative to these pages."""
    return f"../problems/{code_.lower().replace('_', '-')}.md"


# --- Schemas ------------------------------------------------------------------------------------


def schema_link(ref: Json, homes: Mapping[str, str]) -> str:
    """Return a link to the section of a schema.

    Args:
        ref: A reference to the schema.
        homes: The page of each schema.
    """
    name = str(ref).removeprefix(SCHEMA_REF)
    return f"[`{name}`]({homes[name]}#{name.lower()})"


def describe(schema: Object, homes: Mapping[str, str]) -> str:
    """Describe the values that a schema allows; `members` describes those of an object."""
    unknown = schema.keys() - KEYWORDS
    if unknown:
        raise SystemExit(f"no page shows {', '.join(sorted(unknown))} of a schema")
    parts = [", ".join(_kinds(schema, homes))]
    if "default" in schema:
        parts.append(f"{code(schema['default'])} where it is left out")
    parts += _description(schema)
    return ". ".join(parts)


def _kinds(schema: Object, homes: Mapping[str, str]) -> Iterator[str]:
    if "$ref" in schema:
        yield schema_link(schema["$ref"], homes)
    elif "const" in schema:
        yield code(schema["const"])
    elif "enum" in schema:
        yield "one of " + ", ".join(code(each) for each in items(schema["enum"]))
    elif schema["type"] == "array":
        least, most = schema["minItems"], schema["maxItems"]
        yield f"array of {least} to {most}, each: {describe(obj(schema['items']), homes)}"
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
    """Yield each member of an object: its name, whether it is required, and its description."""
    if schema.get("additionalProperties") is not False:
        raise SystemExit(f"no page shows that {within or 'an object'} may have other members")
    required = items(schema["required"])
    for name, each in obj(schema["properties"]).items():
        member = obj(each)
        always = "yes" if name in required else "no"
        yield f"`{within}{name}`", always, describe(member, homes)
        if member.get("type") == "object":
            yield from members(member, homes, f"{within}{name}.")


def schema_section(name: str, schema: Object, homes: Mapping[str, str], level: str = "##") -> str:
    """Return the section of a schema."""
    text = f"{level} {name}\n\n"
    if "description" in schema:
        sentence = str(schema["description"])
        problem = obj(obj(schema["properties"]).get("code", {})).get("const")
        text += f"[{sentence}]({problem_page(str(problem))}).\n\n" if problem else f"{sentence}\n\n"
    rows = list(members(schema, homes))
    if not rows:
        return text + "An object without members.\n"
    return text + markdown_table(("member", "always", "holds"), rows)


# --- Operations ---------------------------------------------------------------------------------


def operations(document: Object) -> Iterator[tuple[str, str, Object]]:
    """Yield each operation with its method and its path."""
    for path, methods in obj(document["paths"]).items():
        for method, operation in obj(methods).items():
            yield method.upper(), path, obj(operation)


def operation_page(method: str, path: str, operation: Object, document: Object) -> str:
    """Return the page of an operation: its request, and its response of each status."""
    homes = find_homes(document)
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
                ". ".join([describe(obj(each["schema"]), homes), *_description(each)]),
            )
            for each in parameters
        ]
        head = ("name", "in", "required", "for example", "holds")
        parts.append(f"\n## Parameters\n\n{markdown_table(head, rows)}")
    if "requestBody" in operation:
        parts.append(_body(obj(operation["requestBody"]), homes))
    parts.append("\n## Answers\n")
    for status, answer in obj(operation["responses"]).items():
        parts.append(_answer(status, obj(answer), document))
    return "".join(parts)


def _description(value: Object) -> Iterator[str]:
    if "description" in value:
        yield str(value["description"]).rstrip(".")


def _body(body: Object, homes: Mapping[str, str]) -> str:
    text = "\n## Body\n\n"
    for kind, content in obj(body["content"]).items():
        held = obj(content)
        ref = obj(held["schema"])["$ref"]
        needed = "required" if body["required"] else "may be left out"
        text += f"`{kind}`, {needed}: {schema_link(ref, homes)}. {body['description']}\n\n"
        text += block(held["example"])
    return text


def _answer(status: str, answer: Object, document: Object) -> str:
    homes = find_homes(document)
    text = f"\n### {status}\n\n{str(answer['description']).rstrip('.')}.\n"
    for kind, content in obj(answer.get("content", {})).items():
        held = obj(content)
        schema = obj(held["schema"])
        examples = obj(held["examples"])
        refs = [obj(each)["$ref"] for each in items(schema.get("oneOf", [schema]))]
        if kind == "application/problem+json":
            rows = [
                (
                    f"[`{name}`]({problem_page(name)})",
                    schema_link(ref, homes),
                    _detail(example),
                )
                for (name, example), ref in zip(examples.items(), refs, strict=True)
            ]
            text += f"\n`{kind}`; the page of a code shows it whole.\n\n"
            text += markdown_table(("code", "schema", "detail, for example"), rows)
        else:
            linked = " or ".join(schema_link(ref, homes) for ref in refs)
            text += f"\n`{kind}`: {linked}.\n"
            for name, example in examples.items():
                text += f"\nFor example, `{name}`:\n\n{block(obj(example)['value'])}"
    headers = obj(answer.get("headers", {}))
    if headers:
        named = ", ".join(f"[`{name}`](README.md#{name.lower()})" for name in headers)
        text += f"\nHeaders: {named}.\n"
    links = obj(answer.get("links", {}))
    if links:
        named = ", ".join(_link(obj(link)) for link in links.values())
        text += f"\nWhat may follow: {named}.\n"
    return text


def _detail(example: Json) -> str:
    # Angle brackets in a sentence are not HTML.
    return str(obj(obj(example)["value"])["detail"]).replace("<", "\\<")


def _link(link: Object) -> str:
    name = str(link["operationId"])
    given = ", ".join(f"`{key}` from `{value}`" for key, value in obj(link["parameters"]).items())
    return f"[`{name}`]({page_of(name)}) with {given}"


# --- Pages --------------------------------------------------------------------------------------


def find_homes(document: Object) -> dict[str, str]:
    """Return the page of each schema of the API."""
    return dict.fromkeys(obj(obj(document["components"])["schemas"]), "schemas.md")


def front_page(document: Object) -> str:
    """Return the front page: the operations, and what they share."""
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
    text = (
        f"# {info['title']}\n\n{info['summary']} {info['description']}\n\n"
        "These pages are written from [`openapi.json`](../openapi.json) and "
        "[`asyncapi.json`](../asyncapi.json), which other tools read: `python -m docs.generate api`. "
        "A client in TypeScript takes [its types](../clients.md#typescript) from them.\n\n"
        f"## Operations\n\n{markdown_table(('operation', 'request', 'about'), rows)}\n"
        f"{markdown_table(('about', 'is'), [(str(tag['name']), str(tag['description'])) for tag in tags])}\n"
        "## Values and events\n\n"
        "- [Schemas](schemas.md): what bodies and problems hold.\n"
        "- [Events](events.md): what is delivered when something happened.\n\n"
        f"## API key\n\n`Authorization: Bearer` and the key. {obj(key)['description']}\n\n"
        "## Headers of answers\n"
    )
    homes = find_homes(document)
    for name, each in obj(components["headers"]).items():
        header = obj(each)
        description = f" {header['description']}" if "description" in header else ""
        example = f" For example {code(header['example'])}." if "example" in header else ""
        text += f"\n### {name}\n\nHolds: {describe(obj(header['schema']), homes)}.{description}{example}\n"
    return text


def schemas_page(document: Object) -> str:
    """Return the page of the schemas of the API."""
    homes = find_homes(document)
    schemas = obj(obj(document["components"])["schemas"])
    text = "# Schemas\n\nWhat bodies hold, and then what each problem holds. No object has other members.\n"
    for name, schema in schemas.items():
        text += "\n" + schema_section(name, obj(schema), homes)
    return text


def events_page(document: Object, api: Object) -> str:
    """Return the page of the events and of their own schemas."""
    info, components = obj(document["info"]), obj(document["components"])
    schemas = obj(components["schemas"])
    shared = obj(obj(api["components"])["schemas"])
    homes = {
        name: "schemas.md" if shared.get(name) == schema else "events.md"
        for name, schema in schemas.items()
    }
    (operation,) = obj(document["operations"]).values()
    (channel,) = obj(document["channels"]).values()
    text = (
        f"# {info['title']}\n\n{info['description']}\n\n"
        f"{obj(operation)['summary']} {obj(operation)['description']} {obj(channel)['description']} "
        f"Each is `{document['defaultContentType']}`. [The outbox](../outbox.md) says how they are shipped.\n"
    )
    for reference in obj(obj(channel)["messages"]).values():
        ref = str(obj(reference)["$ref"]).removeprefix(MESSAGE_REF)
        message = obj(obj(components["messages"])[ref])
        text += f"\n## {message['name']}\n\n{message['summary']}\n\n"
        text += markdown_table(
            ("member", "always", "holds"), members(obj(message["payload"]), homes)
        )
    for name, schema in schemas.items():
        if homes[name] == "events.md":
            text += "\n" + schema_section(name, obj(schema), homes)
    return text


def files() -> dict[str, str]:
    """Return the text of every page by its file name."""
    api, events = load("openapi"), load("asyncapi")
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
