"""Law 18: stored values are readable by the next release, and newer formats are refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Protocol

from curae_lifecycle.service.json_schema import Json
from curae_lifecycle.stores import codec
from curae_lifecycle.stores.codec import Storable
from curae_lifecycle.stores.formats import FORMAT, NewerFormatError
from curae_lifecycle.testing.laws.law import LawBrokenError


class Load(Protocol):
    """The type of a function that reads a stored document, such as `stores.codec.load`.

    `check_stored` checks such a function against law 18.
    """

    def __call__(self, kind: type[Storable], document: Json, /) -> object:
        """Return the value of the class `kind` that a stored document holds.

        Raises:
            NewerFormatError: A newer release stored the document.
        """
        ...


def check_stored(
    value: Storable,
    dump: Callable[[Storable], dict[str, Json]] = codec.dump,
    load: Load = codec.load,
) -> None:
    """Check law 18 for one value: it survives JSON unchanged, and a newer format is refused.

    Args:
        value: The value.
        dump: The function to check that turns a value into the document that a store keeps.
        load: The function to check that turns such a document into the value again.

    Raises:
        LawBrokenError: The loaded value differs, the document has no format number, or `load`
            accepts a document whose format number is one higher.
    """
    kind, where = type(value), type(value).__name__
    document: dict[str, Json] = json.loads(json.dumps(dump(value)))
    if load(kind, document) != value:
        raise LawBrokenError(18, "the loaded value is not the stored one", where)
    number = document.get(FORMAT)
    if not isinstance(number, int):
        raise LawBrokenError(18, "the stored document has no format number", where)
    try:
        load(kind, {**document, FORMAT: number + 1})
    except NewerFormatError:
        return
    raise LawBrokenError(18, "a document of a newer format was read instead of refused", where)
