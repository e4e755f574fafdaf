"""Stored documents with a member replaced or left out, at any depth."""

from __future__ import annotations

from collections.abc import Iterator

from curae_lifecycle.service.json_schema import Json


def places(document: dict[str, Json]) -> Iterator[tuple[str, ...]]:
    """Yield the path of every member of a document, at any depth."""
    for name, value in document.items():
        yield (name,)
        if isinstance(value, dict):
            yield from ((name, *inner) for inner in places(value))


def with_value(document: Json, path: tuple[str, ...], value: Json) -> Json:
    """Return the document with another value at one path."""
    if not path:
        return value
    assert isinstance(document, dict)
    return {**document, path[0]: with_value(document[path[0]], path[1:], value)}


def without_member(document: Json, path: tuple[str, ...]) -> Json:
    """Return the document without the member at one path."""
    assert isinstance(document, dict)
    if len(path) == 1:
        return {name: member for name, member in document.items() if name != path[0]}
    return {**document, path[0]: without_member(document[path[0]], path[1:])}
