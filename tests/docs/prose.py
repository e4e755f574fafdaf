"""Find docstrings and comments that break the rules of plain English.

They are read from the source. Words within backticks, quotes and URLs are code,
SQL or words of the wire, and are left out.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Final

import attrs

FIRST_WORDS: Final = frozenset(
    {"what", "whom", "who", "where", "whether", "which", "until", "as", "also"}
)
"""Words that no docstring starts with."""

NOT_VERBS: Final = frozenset(
    {
        *(
            "a",
            "an",
            "the",
            "its",
            "their",
            "his",
            "her",
            "each",
            "every",
            "all",
            "any",
            "none",
            "no",
        ),
        *(
            "one",
            "two",
            "some",
            "such",
            "same",
            "this",
            "that",
            "these",
            "those",
            "it",
            "they",
            "there",
        ),
        *("how", "if", "when", "while", "nothing", "nobody"),
    }
)
"""Words that no docstring of a function starts with, since they are no verbs."""

BANNED: Final = re.compile(
    r"\b(whoever|whomever|whom|nobody|somebody|anybody|(?:comes?|came)\s+back"
    r"|(?:stands?|stood)\s+still|(?:is|are|was|were|be|been)\s+answered)\b",
    re.IGNORECASE,
)
"""Words and phrases that no docstring and no comment holds, also across lines."""

_CODE: Final = re.compile(r"``.*?``|`[^`]*`|\"[^\"]*\"|“[^”]*”|https?://\S+", re.DOTALL)
_DIRECTIVE: Final = re.compile(r"#\s*(?:noqa|type:|pyright:|pragma|fmt:|-{3,})")

_Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@attrs.frozen
class Offence:
    """A sentence that breaks a rule.

    Attributes:
        file: The file that holds it.
        line: Its line.
        rule: The rule that it breaks.
        text: The beginning of the text.
    """

    file: str
    line: int
    rule: str
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.rule}: {self.text}"


def offences(path: Path, name: str) -> Iterator[Offence]:
    """Yield every offence of a source file.

    Args:
        path: The file.
        name: The name to report it by.
    """
    source = path.read_text(encoding="utf-8")
    yield from offences_of(source, name)


def offences_of(source: str, name: str = "<text>") -> Iterator[Offence]:
    """Yield every offence of a Python source."""
    for line, text, is_function in _docstrings(ast.parse(source)):
        yield from _of_docstring(name, line=line, text=text, is_function=is_function)
    for line, text in _comments(source):
        yield from _of_words(name, line, text)


def _of_docstring(name: str, *, line: int, text: str, is_function: bool) -> Iterator[Offence]:
    word = re.match(r"\W*(\w+)", _CODE.sub(" Code ", text))
    first = "" if word is None else word[1].lower()
    if first in FIRST_WORDS:
        yield Offence(name, line=line, rule=f"starts with {first!r}", text=_short(text))
    elif is_function and first in NOT_VERBS:
        yield Offence(
            name, line=line, rule=f"starts with {first!r}, which is no verb", text=_short(text)
        )
    yield from _of_words(name, line, text)


def _of_words(name: str, line: int, text: str) -> Iterator[Offence]:
    for found in BANNED.finditer(_CODE.sub(" ", text)):
        words = " ".join(found[0].split())
        yield Offence(name, line=line, rule=f"says {words!r}", text=_short(text))


def _docstrings(tree: ast.Module) -> Iterator[tuple[int, str, bool]]:
    for node in ast.walk(tree):
        if isinstance(node, _Documented):
            text = ast.get_docstring(node, clean=True)
            if text:
                yield node.body[0].lineno, text, _is_plain_function(node)
        # A string after an assignment documents the name.
        body = getattr(node, "body", [])
        for before, after in pairwise(body) if isinstance(body, list) else ():
            if isinstance(before, ast.Assign | ast.AnnAssign) and isinstance(after, ast.Expr):
                value = after.value
                if isinstance(value, ast.Constant) and isinstance(value.value, str):
                    yield after.lineno, value.value, False


def _is_plain_function(node: _Documented) -> bool:
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return False
    decorators = [each.func if isinstance(each, ast.Call) else each for each in node.decorator_list]
    names = {ast.unparse(each).rpartition(".")[2] for each in decorators}
    return not names & {"property", "cached_property", "fixture"}


def _comments(source: str) -> Iterator[tuple[int, str]]:
    """Yield the comments with their first lines; lines that follow one another are one comment."""
    block: list[tuple[int, str]] = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT and not _DIRECTIVE.match(token.string):
            if block and token.start[0] != block[-1][0] + 1:
                yield _joined(block)
                block = []
            block.append((token.start[0], token.string.lstrip("# ")))
    if block:
        yield _joined(block)


def _joined(block: list[tuple[int, str]]) -> tuple[int, str]:
    return block[0][0], "\n".join(text for _, text in block)


def _short(text: str) -> str:
    return " ".join(text.split())[:80]
