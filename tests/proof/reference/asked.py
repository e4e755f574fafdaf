"""Generated requests and questions of clients, mostly well-formed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from urllib.parse import quote, quote_plus

from tests.proof.reference.writer import (
    ABSENT,
    ACCOUNT,
    CREATE,
    DAY,
    GRADUATION,
    HALF_HOUR,
    INITIATE,
    MINUTE,
    NO_PACKAGES,
    NO_SCOPE,
    PACKAGES,
    SECOND,
    TICK,
    YEAR,
    Known,
    Pairs,
    Sent,
    Writer,
    format_time,
)
from tests.proof.reference.wrong_values import BAD_IDS, BAD_TIMES


class Asked(Writer):
    """A writer of the requests of apps."""

    def spell(self, name: str) -> str:
        return self.one([name, name, name, name.lower(), name.upper(), name.title()])

    def spell_key(self, key: str) -> object:
        quoted = '"' + key.replace("\\", "\\\\").replace('"', '\\"') + '"'
        return self.one([key, key, key, key, quoted, quoted, f" {key}\t", [key], f"  {quoted} "])

    def spell_id(self, text: str) -> str:
        return text.upper() if "{" not in text and self.chance(0.05) else text

    def request(
        self,
        method: str,
        path: str,
        key: str,
        *,
        idempotency_key: str | None = None,
        body: object = ABSENT,
        headers: Sequence[tuple[str, object]] = (),
        alias: str | None = None,
        response: object = ABSENT,
    ) -> None:
        pairs = Pairs([(self.spell("Authorization"), f"Bearer {key}")])
        if idempotency_key is not None:
            pairs.append((self.spell("Idempotency-Key"), self.spell_key(idempotency_key)))
        if self.chance(0.1):
            pairs.append(("Accept", ["application/json", "*/*"]))
        pairs.extend(headers)
        self.random.shuffle(pairs)
        request: dict[str, object] = {"method": method, "path": path, "headers": pairs}
        if body is not ABSENT:
            plain = isinstance(body, dict) and self.chance(0.2)
            request["body"] = self.text(body) if plain else body
        line: dict[str, object] = {"request": request}
        if alias is not None:
            line["as"] = alias
        if response is not ABSENT:
            line["response"] = response
        self.write(**line)

    def mutation(
        self,
        path: str,
        key: str,
        body: object,
        alias: str | None = None,
        response: object = ABSENT,
    ) -> None:
        """Write a POST with its own key, which may be sent again."""
        idempotency_key = self.one(["k-", "k-", "K-", 'q"', "b\\"]) + str(self.number())
        self.sent.append(Sent(path=path, key=key, idempotency_key=idempotency_key, body=body))
        self.edge(DAY)
        self.request(
            "POST",
            path,
            key,
            idempotency_key=idempotency_key,
            body=body,
            alias=alias,
            response=response,
        )

    def next_action(self) -> object:
        """Return the next action of a recorded response, sometimes a wrong one."""
        action: dict[str, object] = {"type": "open_webview"}
        if self.chance(0.9):
            action["url"] = f"https://hand.off/{self.number()}?t=ä"
        elif self.chance(0.5):
            action["url"] = self.one([None, 7, ["https://hand.off"]])
        if self.chance(0.3):
            wait = self.one([self.random.randrange(1, 7200) * SECOND + TICK] * 9 + [30 * YEAR])
            end = self.after(wait)
            action["expiresAt"] = format_time(end)
        elif self.chance(0.1):
            action["expiresAt"] = self.one(BAD_TIMES)
        return action

    def response(self, kind: str, new_id: str) -> object:
        """Return a recorded response with the new id, a used one, or none."""
        given: object = self.spell_id(new_id)
        body: dict[str, object] = {kind: {"id": given}, "nextAction": self.next_action()}
        if self.chance(0.05):
            body[kind] = self.one([None, 7, [], "x", {}, {"id": None}, {"id": self.one(BAD_IDS)}])
        if self.chance(0.05):
            body["nextAction"] = self.one([None, 7, [], "x", {}])
        answer: dict[str, object] = {"status": 201, "headers": {}, "body": body}
        if self.chance(0.3):
            answer["body"] = json.dumps(body)
        if self.chance(0.03):
            answer["body"] = self.one([None, 7, "{", "nothing", [], ""])
        return answer

    def names(self, kind: str, alias: str, new_id: str) -> list[str]:
        return [f"{{{alias}.{kind}.id}}", f"{{{alias}.{kind}.id}}", new_id]

    def create(self, key: str | None = None, user: str | None = None) -> Known:
        key = key or self.key()
        packages = self.random.sample(PACKAGES, self.random.randrange(1, 4))
        if self.chance(0.1):
            packages += packages[:1]
        if self.chance(0.02):
            packages = [f"p{n}" for n in range(64)] + ["p1", "p2"]
        alias = f"c{self.number()}" if self.chance(0.95) else "c1"
        new_id = self.uuid()
        known = Known(
            key=key, names=self.names("connection", alias, new_id), alias=alias, created=self.now
        )
        response: object = ABSENT
        if self.ids and self.chance(0.04):
            response = self.response("connection", self.one(self.ids))
            known.names = known.names[:2]
        elif self.chance(0.8):
            response = self.response("connection", new_id)
        else:
            known.names = known.names[:2]
        body = {"appUserId": user or self.user(), "dataPackages": packages}
        self.mutation(CREATE, key=key, body=body, alias=alias, response=response)
        self.ids.append(new_id)
        if key != NO_SCOPE or self.chance(0.1):
            self.known.append(known)
        self.edge(HALF_HOUR)
        return known

    def connection(self) -> Known:
        return self.recent(self.known) if self.known else self.create("cae_live_k1")

    def some_id(self, known: Known) -> str:
        if self.chance(0.03):
            twin = self.one(known.names) + self.one(["0", "-", "\u200b", "\u0301", "%20", "\n"])
            return self.one([*BAD_IDS, self.uuid(), self.uuid(), twin, twin, twin])
        if self.chance(0.02):
            alias = known.alias
            return self.one(
                [
                    f"{{{alias}.connection}}",
                    f"{{{alias}.connection.nothing}}",
                    f"{{{alias}.connection.id.more}}",
                    f"{{{alias}.previousConnectionId}}",
                    f"{{{alias}.headers.nothing}}",
                    "{nobody.connection.id}",
                ]
            )
        return self.spell_id(self.one(known.names))

    def other_key(self, known: Known) -> str:
        return known.key if self.chance(0.93) else self.key()

    def get(self, known: Known | None = None) -> None:
        known = known or self.connection()
        key = self.other_key(known)
        query = self.one(["", "", "", "?x=1", "?"])
        idempotency_key = "k-1" if self.chance(0.05) else None
        path = f"{CREATE}/{self.some_id(known)}{query}"
        self.request("GET", path, key, idempotency_key=idempotency_key)

    def reconnect(self, known: Known | None = None) -> Known:
        known = known or self.connection()
        key = self.other_key(known)
        alias, new_id = f"r{self.number()}", self.uuid()
        response = self.response("connection", new_id) if self.chance(0.7) else ABSENT
        names = self.names("connection", alias, new_id)[: 3 if self.chance(0.2) else 2]
        successor = Known(key=known.key, names=names, alias=alias, created=self.now)
        body = self.one([{}, {}, {}, ABSENT, ""])
        path = f"{CREATE}/{self.some_id(known)}:reconnect"
        self.mutation(path, key=key, body=body, alias=alias, response=response)
        # The request may well have been refused, so the older connection stays the likelier choice.
        self.known.append(successor if self.chance(0.35) else known)
        self.edge(HALF_HOUR)
        return successor

    def revoke(self, known: Known | None = None) -> None:
        known = known or self.connection()
        body = self.one([{}, {}, ABSENT, ""])
        path = f"{CREATE}/{self.some_id(known)}:revoke"
        self.mutation(path, self.other_key(known), body)

    def initiate(
        self, key: str | None = None, user: str | None = None, *, prefer: object = ABSENT
    ) -> Known:
        key = key or self.key()
        body: dict[str, object] = {"appUserId": user or self.user()}
        if prefer is ABSENT and self.chance(0.6):
            prefer = self.chance(0.75)
        if prefer is not ABSENT:
            body["preferSignup"] = prefer
        alias, new_id = f"s{self.number()}", self.uuid()
        session = Known(
            key=key, names=self.names("session", alias, new_id), alias=alias, created=self.now
        )
        response: object = ABSENT
        if self.chance(0.8):
            response = self.response("session", new_id)
        else:
            session.names = session.names[:2]
        self.mutation(INITIATE, key=key, body=body, alias=alias, response=response)
        if key != NO_SCOPE or self.chance(0.1):
            self.sessions.append(session)
        self.edge(MINUTE, HALF_HOUR)
        return session

    def graduation(self, key: str | None = None, user: str | None = None) -> None:
        key = key or self.key()
        response: object = ABSENT
        if self.chance(0.5):
            response = {"status": 201, "body": {"nextAction": self.next_action()}}
        headers: list[tuple[str, object]] = []
        if self.chance(0.05):
            headers.append((self.spell("Idempotency-Key"), self.one(["k-1", "", ["a", "b"]])))
        body = {"appUserId": user or self.user()}
        self.edge(MINUTE)
        self.request("POST", GRADUATION, key, body=body, headers=headers, response=response)

    def account_state(self, key: str | None = None, user: str | None = None) -> None:
        user = user or self.user()
        written = self.one([quote(user, safe=""), quote_plus(user)])
        query = self.one(["?appUserId={}", "?appUserId={}&x=1", "?a=b&&appUserId={}", "?{}"])
        query = query.replace("{}", written if "=" in query else f"appUserId={written}")
        headers: list[tuple[str, object]] = []
        if self.states and self.chance(0.6):
            tag = f"{{{self.recent(self.states)}.headers.etag}}"
            other = f"{{{self.recent(self.states)}.headers.etag}}"
            value: object = self.one(
                [
                    tag,
                    tag,
                    f"W/{tag}",
                    f'"other", {tag}',
                    f'W/"a,b" ,\t{tag},"c"',
                    f"{tag}, {other}",
                    [tag, '"other"'],
                    ['"other"', f"W/{tag}"],
                    "*",
                    '"other"',
                    'W/"other"',
                    "nothing",
                    "",
                    "{nobody.headers.etag}",
                ]
            )
            headers.append((self.spell("If-None-Match"), value))
        alias = f"a{self.number()}"
        self.request("GET", ACCOUNT + query, key or self.key(), headers=headers, alias=alias)
        self.states.append(alias)
        if self.chance(0.3):  # an account state that did not answer 200 may have no tag
            self.states = self.states[-6:]

    def ask(self, known: Known | None = None) -> None:
        known = known or self.connection()
        package = self.one([*PACKAGES[:2], *PACKAGES, *PACKAGES, *NO_PACKAGES])
        asked = {"type": "access", "connectionId": self.some_id(known), "dataPackage": package}
        self.write(ask=asked)
