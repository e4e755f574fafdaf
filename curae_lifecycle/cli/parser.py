"""The parser of the command line, whose errors suggest the word that was meant."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final, NoReturn


class Parser(argparse.ArgumentParser):
    """An `ArgumentParser` that suggests the command, choice or option that was meant."""

    def error(self, message: str) -> NoReturn:
        """Print this parser's usage and the error, and exit with status 2.

        The error ends with a suggestion if a known word is close to the mistyped one.
        """
        # Python 3.15 adds a suggestion in other words, but none for a misspelt option.
        message = _PYTHONS_SUGGESTION.sub("", message)
        choice = _CHOICE.search(message)
        unknown = _UNKNOWN.search(message)
        if choice is not None:
            message += suggestion(choice[1], re.findall(r"[\w:-]+", choice[2]))
        elif unknown is not None:
            message += suggestion(unknown[1], re.findall(r"--[\w-]+", self.format_usage()))
        super().error(message)


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return a text such as `; did you mean tables?`, or an empty text if no known word is close.

    Args:
        word: The word that was typed, in upper or lower case.
        known: The words that could have been meant.
    """
    by_lower = {each.lower(): each for each in known}
    close = get_close_matches(word.lower(), by_lower, n=1)
    return f"; did you mean {by_lower[close[0]]}?" if close else ""


_CHOICE: Final = re.compile(r"invalid choice: '([^']*)' \(choose from (.*)\)")
_PYTHONS_SUGGESTION: Final = re.compile(r", maybe you meant '[^']*'\?")
_UNKNOWN: Final = re.compile(r"unrecognized arguments: (--[\w-]+)")
