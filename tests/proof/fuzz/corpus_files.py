"""The corpus on disk: one JSON file per target, with named inputs."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Final

CORPUS: Final = Path(__file__).parent / "corpus"


def load_corpus(target: str) -> dict[str, bytes]:
    """Load a target's inputs by name."""
    entries: dict[str, dict[str, str]] = json.loads((CORPUS / f"{target}.json").read_text("utf-8"))
    return {name: _decode(entry) for name, entry in entries.items()}


def store_corpus(target: str, inputs: dict[str, bytes]) -> None:
    """Write a target's inputs; equal inputs give equal text."""
    entries = {name: _encode(inputs[name]) for name in sorted(inputs)}
    text = json.dumps(entries, indent=1) + "\n"
    CORPUS.mkdir(exist_ok=True)
    (CORPUS / f"{target}.json").write_text(text, "utf-8", newline="\n")


def _decode(entry: dict[str, str]) -> bytes:
    if "text" in entry:
        return entry["text"].encode()
    return b64decode(entry["base64"])


def _encode(data: bytes) -> dict[str, str]:
    try:
        return {"text": data.decode()}
    except UnicodeDecodeError:
        return {"base64": b64encode(data).decode()}
