"""Law 18: what is stored is read by the next release, and what a newer one stored is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Protocol

from curae_lifecycle.stores import codec
from curae_lifecycle.stores.codec import Storable
from curae_lifecycle.stores.formats import FORMAT, NewerFormatError
from curae_lifecycle.testing.laws.law import LawBrokenError
from curae_lifecycle.web.json import Json


class Load(Protocol):
    """Reads a stored value."""

    def __call__(self, kind: type[Storable], document: Json, /) -> object:
        """The value of a document, or an error."""
        ...


def check_stored(
    value: Storable,
    dump: Callable[[Storable], dict[str, Json]] = codec.dump,
    load: Load = codec.load,
) -> None:
    """Law 18, of one value: through JSON it comes back the same, and a newer form is refused.

    `dump` gives what a store keeps of it, `load` reads that.
    """
    kind, where = type(value), type(value).__name__
    document: dict[str, Json] = json.loads(json.dumps(dump(value)))
    if load(kind, document) != value:
        raise LawBrokenError(18, "what was stored comes back as something else", where)
    form = document.get(FORMAT)
    if not isinstance(form, int):
        raise LawBrokenError(18, "what is stored does not say its form", where)
    try:
        load(kind, {**document, FORMAT: form + 1})
    except NewerFormatError:
        return
    raise LawBrokenError(18, "what a newer release stored is read as if it were known", where)
