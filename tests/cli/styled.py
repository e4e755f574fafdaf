"""A terminal with colours, which keeps each printed line with its style."""

from __future__ import annotations

import attrs


@attrs.frozen
class StyledConsole:
    """A stand-in for the console of Rich.

    Attributes:
        lines: The style and the text of each printed line.
        width: The width of the terminal, in characters.
    """

    lines: list[tuple[str, str]] = attrs.field(factory=list[tuple[str, str]])
    width: int = 1000

    def print(
        self, text: object, *, style: str = "", soft_wrap: bool = False, markup: bool = True
    ) -> None:
        """Keep a text that is printed as it is."""
        assert not markup
        assert isinstance(text, str)
        assert soft_wrap
        self.lines.append((style, text))
