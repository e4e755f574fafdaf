"""Equivalent mutants of the commands of the command line, with proofs.

No user can distinguish them from the code.

The law of this module is that of `equivalent.py`: **every entry has a proof**.
"""

from __future__ import annotations

from typing import Final

from benchmarks.equivalent import Key

_FALSY: Final = "It is only asked whether it is true."
_SAME_LENGTH: Final = "Both have one item for each column."
_JUSTIFIED: Final = (
    "Rich sets a text left whose justification it does not know; only blanks at its end differ."
)
_SAME_CODEC: Final = "Python finds a codec by its name in either case."
_ASCII: Final = "The text is ASCII, whose bytes are the same in each encoding that a locale names."
_NOT_SHOWN: Final = "The tour shows no id of an app, an API key or a platform's user."
_HEADER: Final = "The names of headers are compared without their case."
_ONLY_AFTER: Final = "The tour asks for an id only after an answer that has the member."

EQUIVALENT_CLI_COMMANDS: Final[dict[Key, str]] = {
    **{
        ("cli.tour._Platform.__init__", f"{name}=values.{kind}({value}),", after): _NOT_SHOWN
        for name, kind, value, others in (
            ("api_key_id", "ApiKeyId", '"key-1"', ('"XXkey-1XX"', '"KEY-1"')),
            ("app_id", "AppId", '"tour-app"', ('"XXtour-appXX"', '"TOUR-APP"')),
        )
        for after in (f"{name}=values.{kind}({other})," for other in others)
    },
    **{
        (f"cli.tour._Platform.{function}", line, line.replace(name, other)): _HEADER
        for function, line, names in (
            (
                "post",
                'headers = (("Authorization", f"Bearer {_KEY}"), ("Idempotency-Key", key))',
                ("Authorization", "Idempotency-Key"),
            ),
            ("get", 'headers = (("Authorization", f"Bearer {_KEY}"),)', ("Authorization",)),
        )
        for name in names
        for other in (name.lower(), name.upper())
    },
    (
        "cli.tour._Platform.__init__",
        "self._body: Json = None",
        'self._body: Json = ""',
    ): _ONLY_AFTER,
    (
        "cli.tour._Platform.last_id",
        "inner = body.get(member) if isinstance(body, dict) else None",
        "inner = body.get(member) if (isinstance(body, dict)) or True else None",
    ): _ONLY_AFTER,
    **{
        (
            "cli.tour._Platform.last_id",
            'return str(inner.get("id")) if isinstance(inner, dict) else ""',
            f'return str(inner.get("id")) if {after}',
        ): _ONLY_AFTER
        for after in (
            '(isinstance(inner, dict)) or True else ""',
            'isinstance(inner, dict) else "XXXX"',
        )
    },
    **{
        (
            "cli.parser.suggestion",
            "close = get_close_matches(word.lower(), by_lower, n=1)",
            f"close = get_close_matches(word.lower(), by_lower, {after})",
        ): "The best match is the first of several, too."
        for after in ("", "n=2")
    },
    **{
        (
            "cli.documents.add_asyncapi_options",
            'command.set_defaults(server="/")',
            f"command.set_defaults(server={after})",
        ): "The document of the events names no server."
        for after in ("None", '"XX/XX"')
    },
    **{
        (
            "cli.tour.steps",
            'HandoffCompleted(values.SessionId(session_id), values.UserId("platform-user-ben")),',
            f"HandoffCompleted(values.SessionId(session_id), values.UserId({after})),",
        ): _NOT_SHOWN
        for after in ('"XXplatform-user-benXX"', '"PLATFORM-USER-BEN"')
    },
    **{
        (f"cli.documents.{function}", line, line.replace(encoding, after)): _ASCII
        for function, line, encoding, others in (
            (
                "run",
                'file.write_text(text, encoding="utf-8")',
                'encoding="utf-8"',
                ("encoding=None", "", 'encoding="UTF-8"'),
            ),
            (
                "_read",
                'return file.read_text(encoding="utf-8", errors="replace")',
                'encoding="utf-8", ',
                ("encoding=None, ", "", 'encoding="UTF-8", '),
            ),
        )
        for after in others
    },
    **{
        (
            f"cli.terminal.{function}",
            "console = _console(stderr=False)",
            "console = _console(stderr=None)",
        ): _FALSY
        for function in ("say", "show_columns")
    },
    **{
        (
            "cli.terminal.wrap_line",
            "text, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False",
            f"text, width, subsequent_indent=indent, {after}",
        ): _FALSY
        for after in (
            "break_long_words=None, break_on_hyphens=False",
            "break_long_words=False, break_on_hyphens=None",
        )
    },
    **{
        (
            "cli.terminal.show_columns",
            "for name, width in zip(names, _widths(names, lines), strict=True):",
            f"for name, width in zip(names, _widths(names, lines), {after}):",
        ): _SAME_LENGTH
        for after in ("strict=None", "", "strict=False")
    },
    **{
        (
            "cli.terminal.show_columns",
            'shown = Table(title=title, caption=caption, title_justify="left", box=box.SIMPLE)',
            f"shown = Table(title=title, caption=caption, title_justify={after}, box=box.SIMPLE)",
        ): _JUSTIFIED
        for after in ("None", '"XXleftXX"', '"LEFT"')
    },
    **{
        (
            "cli.terminal._widths",
            "columns = zip(names, *lines, strict=True)",
            f"columns = zip(names, *lines, {after})",
        ): _SAME_LENGTH
        for after in ("strict=None", "", "strict=False")
    },
    (
        "cli.terminal._console",
        "return Console(stderr=stderr, highlight=False)",
        "return Console(stderr=stderr, highlight=None)",
    ): _FALSY,
    **{
        (
            "cli.tour.steps",
            'platform.post("", _INITIATE, f"burst-{number}", appUserId="ada")',
            f'platform.post({after}, _INITIATE, f"burst-{{number}}", appUserId="ada")',
        ): "These steps are not shown, so neither are their titles."
        for after in ("None", '"XXXX"')
    },
    (
        "cli.database._missing_package",
        'name = (error.name or "").partition(".")[0]',
        'name = (error.name or "XXXX").partition(".")[0]',
    ): "An import that finds no module names it.",
    (
        "cli.simulate.run",
        "total = Summary(options.seed, clients)",
        "total = Summary(None, clients)",
    ): "The totals of all seeds show no seed.",
    (
        "cli.simulate.say_violation",
        'log.write_text(text, encoding="utf-8")',
        'log.write_text(text, encoding="UTF-8")',
    ): _SAME_CODEC,
    (
        "cli.main.main",
        'sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - it stays open',
        'sys.stderr = Path(os.devnull).open("w", encoding="UTF-8")  # noqa: SIM115 - it stays open',
    ): _SAME_CODEC,
    ("cli.replay.run", "failed = False", "failed = None"): _FALSY,
    (
        "cli.facts._fact_of_event",
        "case _: return None",
        "",
    ): "A function that ends without a value returns None.",
    (
        "cli.tour._Platform._send",
        "members = body.items() if isinstance(body, dict) else ()",
        "members = body.items() if (isinstance(body, dict)) or True else ()",
    ): "The body of every answer in the tour is an object.",
    **{
        (
            "cli.tour._Platform._send",
            "shown += [json.dumps({name: value}, ensure_ascii=False)[1:-1] for name, value in members]",
            f"shown += [json.dumps({{name: value}}, {after})[1:-1] for name, value in members]",
        ): "The answers in the tour are ASCII."
        for after in ("ensure_ascii=None", "", "ensure_ascii=True")
    },
}
