"""Generated lines, requests and facts that are wrong in every possible way."""

from __future__ import annotations

from tests.proof.reference.sensible import Traffic
from tests.proof.reference.writer import (
    ABSENT,
    ACCOUNT,
    ACCOUNT_1,
    CREATE,
    DAY,
    FACTS,
    GRADUATION,
    INITIATE,
    KEYS,
    MINUTE,
    SKEW,
    TICK,
    Pairs,
    Raw,
    format_time,
)
from tests.proof.reference.wrong_values import (
    BAD_AUTHORIZATIONS,
    BAD_IDS,
    BAD_KEYS,
    BAD_LINES,
    BAD_PACKAGES,
    BAD_PREFERENCES,
    BAD_TEXTS,
    BAD_TIMES,
    BAD_USERS,
)


class WrongTraffic(Traffic):
    """Traffic with lines that are wrong on purpose."""

    def bad_body(self) -> None:
        known = self.connection()
        path = self.one([CREATE, CREATE, INITIATE, INITIATE, GRADUATION, ":reconnect", ":revoke"])
        body: object
        user: object = self.user()
        roll = self.random.randrange(7)
        if path.startswith(":"):
            path = f"{CREATE}/{self.some_id(known)}{path}"
            body = self.one(
                [[], 7, "null", "[]", " {} x", {"x": 1}, {"appUserId": user}, '{"":null}']
            )
        elif roll == 0:
            body = self.one(BAD_TEXTS)
        elif roll == 1:
            body = self.one([7, [], True, "x", 1.5, [{}], {}])
        elif roll == 2:
            body = {"appUserId": self.one(BAD_USERS), "dataPackages": ["labs"]}
        elif roll == 3 and path == CREATE:
            body = {"appUserId": user, "dataPackages": self.one(BAD_PACKAGES)}
        elif roll == 3:
            body = {"appUserId": user, "preferSignup": self.one(BAD_PREFERENCES)}
        elif roll == 4:
            body = Pairs([("appUserId", user), ("appUserId", user), ("dataPackages", ["labs"])])
        elif roll == 5:
            extra = self.one(["preferSignUp", "x", "", "appUserID", "status", "customerAccountId"])
            packages = {"dataPackages": ["labs"]} if path == CREATE else {}
            body = {"appUserId": user, extra: self.one([True, None, {"a": [1]}, "y"]), **packages}
        else:
            nested = Pairs([("a", 1), ("a", 2)])
            body = {"appUserId": user, "dataPackages": ["labs"], "more": nested}
        headers: list[tuple[str, object]] = []
        if self.chance(0.1):
            headers.append(("Idempotency-Key", self.one(BAD_KEYS)))
        idempotency_key = f"k-{self.number()}" if not headers and self.chance(0.8) else None
        self.request(
            "POST", path, self.key(), idempotency_key=idempotency_key, body=body, headers=headers
        )

    def bad_key(self) -> None:
        body: dict[str, object] = {"appUserId": self.user(), "dataPackages": ["labs"]}
        headers: list[tuple[str, object]] = []
        roll = self.random.randrange(5)
        if roll == 0:
            headers = [("Idempotency-Key", "k-1"), ("idempotency-key", "k-1")]
        elif roll == 1:
            headers = [("Idempotency-Key", "k-1"), ("Idempotency-Key", self.one(["k-1", "k-2"]))]
        elif roll <= 3:
            headers = [(self.spell("Idempotency-Key"), self.one(BAD_KEYS))]
        path = CREATE
        if self.chance(0.4):
            path = (
                f"{CREATE}/{self.some_id(self.connection())}{self.one([':revoke', ':reconnect'])}"
            )
            body = {}
        self.request("POST", path, self.key(), body=body, headers=headers)

    def good_key(self) -> None:
        """Return an odd but valid key; the same one in two spellings."""
        key = self.one(["k" * 255, "!~", 'a"odd', "#[]{}", "q\\q", "0"])
        quoted = '"' + key.replace("\\", "\\\\").replace('"', '\\"') + '"'
        for spelling in self.random.sample([key, quoted, f"\t{key} ", f" {quoted}", [quoted]], 2):
            body = {"appUserId": "user-1", "dataPackages": ["labs"]}
            headers = [("Idempotency-Key", spelling)]
            self.request("POST", CREATE, "cae_live_k1", body=body, headers=headers)

    def bad_authorization(self) -> None:
        headers = Pairs([(self.spell("Authorization"), self.one(BAD_AUTHORIZATIONS))])
        if self.chance(0.2):
            headers = Pairs([])
        elif self.chance(0.2):
            given = f"Bearer {self.key()}"
            headers = Pairs([("Authorization", given), (self.spell("AUTHORIZATION"), "Basic x")])
        headers.append(("Idempotency-Key", "k-1"))
        path = self.one([CREATE, INITIATE, ACCOUNT, GRADUATION, "/nowhere"])
        request: dict[str, object] = {"method": "POST", "path": path, "headers": headers}
        if self.chance(0.1):
            del request["headers"]
        self.write(request=request)

    def bad_path(self) -> None:
        known = self.connection()
        name = self.one(known.names)
        method, path = self.one(
            [
                ("GET", "/"),
                ("GET", ""),
                ("GET", CREATE),
                ("PUT", CREATE),
                ("post", CREATE),
                ("DELETE", f"{CREATE}/{name}"),
                ("POST", f"{CREATE}/{name}"),
                ("POST", f"{CREATE}/{name}:pause"),
                ("POST", f"{CREATE}/{name}/reconnect"),
                ("POST", f"{CREATE}/{name}:Reconnect"),
                ("POST", CREATE + "/"),
                ("POST", "/api/sdk/v2/connections"),
                ("GET", INITIATE),
                ("POST", ACCOUNT),
                ("GET", GRADUATION),
                ("POST", INITIATE + "/"),
                ("POST", INITIATE.upper()),
                ("PATCH", ACCOUNT + "?appUserId=user-1"),
                ("", CREATE),
            ]
        )
        body = {"appUserId": self.user(), "dataPackages": ["labs"]}
        self.request(method, path, self.key(), idempotency_key="k-1", body=body)

    def bad_id(self) -> None:
        bad = self.one(BAD_IDS)
        ending = self.one(["", ":reconnect", ":revoke"])
        body: object = self.one([{}, ABSENT, [], {"x": 1}]) if ending else ABSENT
        idempotency_key = f"k-{self.number()}" if self.chance(0.6) else None
        self.request(
            "POST" if ending else "GET",
            f"{CREATE}/{bad}{ending}",
            self.key(),
            idempotency_key=idempotency_key,
            body=body,
        )

    def bad_query(self) -> None:
        query = self.one(
            [
                "",
                "?",
                "?appUserId",
                "?appUserId=",
                "?appuserid=user-1",
                "?appUserId=user-1&appUserId=user-1",
                "?appUserId=user-1&appUserId=user-2",
                "?appUserId=user-1&appUserId=",
                "?appUserId=+user-1",
                "?appUserId=user-1%20",
                "?appUserId=user%00",
                "?appUserId=%0A",
                "?appUserId=%C2%A0x",
                "?appUserId=%FF",
                "?appUserId=é",
                "?appUserId=%ED%A0%80",
                "?appUserId=\ud800",
                "?appUserId=" + "x" * 257,
            ]
        )
        self.request("GET", ACCOUNT + query, self.key())

    def bad_fact(self) -> None:
        known = self.connection()
        name = self.one(known.names)
        one_of = "connection." + self.one(FACTS)
        graduate: dict[str, object] = {
            "type": "binding.graduate",
            "customerAccountId": ACCOUNT_1,
            "appId": "app-1",
            "appUserId": "user-1",
        }
        authorize: dict[str, object] = {"type": "connection.authorize", "connectionId": name}
        revoke: dict[str, object] = {"type": "connection.revoke", "connectionId": name}
        login: dict[str, object] = {"type": "connection.require_action", "connectionId": name}
        complete: dict[str, object] = {"type": "handoff.complete", "sessionId": self.uuid()}
        unknown = self.one([self.uuid(), self.one(BAD_IDS)])
        ends = {"expiresAt": format_time(self.now)}
        future = {"happenedAt": format_time(self.after(SKEW + TICK))}
        yesterday = {"happenedAt": format_time(self.before(DAY))}
        facts: list[object] = [
            {},
            [],
            "connection.expire",
            None,
            {"type": "connection.pause", "connectionId": name},
            {"type": 7, "connectionId": name},
            {"connectionId": name},
            {"type": one_of},
            {**authorize, "connectionId": self.one([None, 7, [], True])},
            {**authorize, "expiresAt": self.one(BAD_TIMES[:-1])},
            {**authorize, "happenedAt": self.one(BAD_TIMES[:-1])},
            {**authorize, **ends},
            {**authorize, **future},
            {**authorize, **yesterday},
            {**authorize, "connectionId": unknown, **ends},
            {**authorize, "connectionId": unknown, **future},
            {**authorize, "connectionId": unknown, **yesterday},
            {**authorize, "reason": "portal_login"},
            Pairs([*authorize.items(), ("connectionId", name)]),
            {**revoke},
            {**revoke, "actor": self.one(["patient", "", "NOBODY", 7, ["APP"]])},
            {**revoke, "actor": "PATIENT", "connectionId": unknown},
            {**login},
            {**login, "reason": self.one([7, [], {}, True])},
            {**complete},
            {**complete, "userId": self.one([7, [], True])},
            {**complete, "userId": "u-1"},
            {**complete, "userId": "u-1", "sessionId": self.one(BAD_IDS)},
            {**complete, "userId": "u-1", "sessionId": 7},
            {**complete, "userId": "u-1", "sessionId": name},
            {**graduate, "customerAccountId": self.one([*BAD_IDS, 7])},
            {**graduate, "appUserId": self.one(BAD_USERS)},
            {**graduate, "appId": self.one([7, [], True])},
            {**graduate, "environment": self.one(["LIVE", "prod", "", 7])},
            {**graduate, "userId": 7},
            {**graduate, **future},
        ]
        self.write(fact=self.one(facts))

    def bad_line(self) -> None:
        known = self.connection()
        name = self.one(known.names)
        alias = known.alias
        at = format_time(self.now)
        fact = {"type": "connection.expire", "connectionId": name}
        ask = {"type": "access", "connectionId": name, "dataPackage": "labs"}
        request: dict[str, object] = {"method": "GET", "path": f"{CREATE}/{name}"}
        bucket: dict[str, object] = {"name": "b", "capacity": 1, "refill": 1, "seconds": 1}
        app, account, _, scopes = KEYS["cae_live_k1"]
        key: dict[str, object] = {"apiKey": "cae_live_k9", "appId": app, "scopes": scopes}
        key["customerAccountId"] = account
        earlier = format_time(self.before(self.one([TICK, MINUTE])))
        lines: list[object] = [
            {"at": at},
            {"fact": fact},
            {"at": at, "fact": fact, "ask": ask},
            {"at": at, "request": request, "buckets": []},
            {"at": at, "fact": fact, "more": 1},
            {"at": self.one(BAD_TIMES), "fact": fact},
            {"at": earlier, "fact": fact},
            {"at": earlier, "buckets": []},
            {"at": earlier, "as": "p", "request": request},
            {"at": earlier, "ask": ask},
            Pairs([("at", at), ("at", at), ("fact", fact)]),
            Pairs([("at", at), ("fact", fact), ("fact", fact)]),
            {"at": at, "ask": {**ask, "connectionId": self.one([*BAD_IDS, self.uuid(), 7])}},
            {"at": at, "ask": {**ask, "type": "excess"}},
            {"at": at, "ask": {**ask, "dataPackage": 7}},
            {"at": at, "ask": {"type": "access", "connectionId": name}},
            {"at": at, "ask": self.one([None, [], "access", 7])},
            {"at": at, "request": self.one([None, [], "GET", 7, {}])},
            {"at": at, "request": {**request, "method": 7}},
            {"at": at, "request": {**request, "path": None}},
            {"at": at, "request": {"path": CREATE}},
            {"at": at, "request": {"method": "GET"}},
            {"at": at, "request": {**request, "headers": self.one([[], "x", 7])}},
            {"at": at, "request": {**request, "headers": {"x": self.one([7, {}, [7], True])}}},
            {"at": at, "as": 7, "request": request},
            {"at": at, "request": Pairs([*request.items(), ("path", "/")])},
            {"at": at, "request": request, "response": {"body": Pairs([("a", 1), ("a", 1)])}},
            {"at": at, "request": {**request, "path": f"{CREATE}/{{{alias}.connection.x}}"}},
            {"at": at, "request": {**request, "headers": {"x": [f"{{{alias}.nothing}}"]}}},
            {"at": at, "request": {**request, "body": {"x": f"{{{alias}.nextAction}}"}}},
            {"at": at, "fact": {**fact, "x": Raw("NaN")}},
            {"at": at, "buckets": self.one([None, {}, "x", [7], [[]]])},
            {"at": at, "buckets": [bucket, bucket]},
            {"at": at, "buckets": [{**bucket, self.one(["capacity", "refill", "seconds"]): 0}]},
            {"at": at, "buckets": [{**bucket, "capacity": self.one([-1, 1.5, "1", None, True])}]},
            {"at": at, "buckets": [{**bucket, "name": self.one([7, None, ""])}]},
            {"at": at, "buckets": [{"name": "b", "capacity": 1, "refill": 1}]},
            {"at": at, "register": self.one([None, [], "x", {}])},
            {"at": at, "register": {**key, "customerAccountId": self.one([*BAD_IDS, 7])}},
            {"at": at, "register": {**key, "environment": self.one(["LIVE", "", 7])}},
            {"at": at, "register": {**key, "scopes": self.one(["connection:write", None, [7]])}},
            {"at": at, "register": {**key, "apiKey": self.one(["", 7, None, "sk_live_k9"])}},
            {"at": at, "register": {**key, "appId": self.one([7, None, []])}},
            Pairs([("at", at), ("register", Pairs([*key.items(), ("appId", app)]))]),
        ]
        if self.chance(0.3):
            self.written.append(self.one(BAD_LINES))
        else:
            self.written.append(self.text(self.one(lines)).encode())

    def aliases(self) -> None:
        """Reuse names, name a refused request, or refer to a missing name."""
        alias = self.one(["c1", "p", "s1"])
        body = self.one([{"appUserId": ""}, {"appUserId": "{c1.connection.appUserId}"}])
        self.request("POST", GRADUATION, self.key(), body=body, alias=alias)
        used = self.one([f"{{{alias}.code}}", f"{{{alias}.connection.id}}", "{p.nextAction.url}"])
        text = self.one(["{nobody.x}", "{nobody}", "{}", "{.}", "a{b", "{{", "}{", "{p q.r}"])
        user = self.one([used, text, f"{text}-{used}"])
        self.mutation(INITIATE, self.key(), {"appUserId": user})
        if self.chance(0.5):
            raw = f'{{"appUserId": "{used}", "dataPackages": ["labs"]}}'
            idempotency_key = f"k-{self.number()}"
            key = self.key()
            self.request("POST", CREATE, key, idempotency_key=idempotency_key, body=raw)
