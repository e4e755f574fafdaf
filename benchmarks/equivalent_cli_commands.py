"""Mutants of the commands of the command line that no user can tell, each with the proof.

The law of this module is that of `equivalent.py`: **every entry has a proof**.
"""

from __future__ import annotations

from typing import Final

from benchmarks.equivalent import Key

_NOT_SHOWN: Final = "The tour shows no id of an app or an API key."
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
}
