// One whole request: its gates in their order, then the operation, then the answer.

import { accountState, enter, eraOf, startGraduation } from "./bindings.mjs";
import { life, newConnection, reconnect, revokeChain } from "./chains.mjs";
import { bindingEvent, connectionEvent, endingEffects, nothing, sessionEvent, showSession, touch, write } from "./changes.mjs";
import { authorize } from "./connection.mjs";
import { matches, readIdempotencyKey, valuesOf } from "./headers.mjs";
import { begin, completed } from "./idempotency.mjs";
import { formatTime } from "./instants.mjs";
import { charge } from "./limits.mjs";
import { isKept, problem, problemDocument, refuse } from "./problems.mjs";
import { fingerprint, OPERATIONS, readValues, route } from "./reading.mjs";
import { showConnection } from "./wire.mjs";

const JSON_TYPE = ["content-type", "application/json"];
const PROBLEM_TYPE = ["content-type", "application/problem+json"];
const NO_STORE = ["cache-control", "no-store"];

/** Decide whether a known caller may run an operation. The environment comes first. */
export function permit(caller, { neededScope, servedEnvironment }) {
  const { environment, scopes } = caller;
  if (servedEnvironment !== null && servedEnvironment !== environment) {
    return refuse(["permission.wrong-environment"], "WRONG_ENVIRONMENT", { environment });
  }
  if (neededScope !== null && !scopes.includes(neededScope)) {
    return refuse(["permission.scope-missing"], "SCOPE_INSUFFICIENT", { scope: neededScope });
  }
  return { outcome: "done", rules: ["permission.granted"] };
}

// Write a body's exact text: instants as times, members in the order given.
function writeText(value) {
  return JSON.stringify(value, (name, part) => (typeof part === "bigint" ? formatTime(part) : part));
}

function answer({ status, headers, body, rules, replayed = false, changes = nothing() }) {
  return { status, headers, body, rules, replayed, changes };
}

function answerProblem({ problem: given, rules }, { limit = {}, changes } = {}) {
  const headers = [PROBLEM_TYPE];
  if (given.status === 401) headers.push(["www-authenticate", "Bearer"]);
  if (given.status === 429) headers.push(NO_STORE);
  if (given.code === "IDEMPOTENCY_KEY_IN_FLIGHT") headers.push(["retry-after", String(given.details.retryAfter)]);
  headers.push(...Object.entries(limit));
  return answer({ status: given.status, headers, body: problemDocument(given), rules, changes });
}

// Charge some limits: note what is written, or return the answer of a refusal.
function limited(charges, { now, rule, changes }) {
  const charged = charge(charges, { cost: 1, now });
  if (charged.outcome === "admitted") {
    const written = charges.map(({ policy }, place) => [policy.name, charged.states[place]]);
    changes.writes.push(...written.map(([policy, after]) => ({ kind: "limit", policy, after })));
    return null;
  }
  const details = { policy: charged.policy, retryAfter: Number(charged.headers["retry-after"]) };
  const refused = { problem: problem("RATE_LIMITED", details), rules: [rule] };
  return answerProblem(refused, { limit: charged.headers, changes });
}

// Pass the gate of the key: nothing where none is looked at, else the key's record decides.
function passKey(operation, headers) {
  const values = valuesOf(headers, "idempotency-key");
  if (operation.key === "needed") return readIdempotencyKey(values);
  if (operation.key === "not allowed" && values.length > 0) {
    return refuse(["request.key-not-allowed"], "IDEMPOTENCY_KEY_NOT_ALLOWED");
  }
  return { key: null };
}

/** Decide one request. `stored` holds what the server loaded for it. */
export function decide({ caller, method, target, headers, body, buckets, stored, now, newIds, servedEnvironment = null }) {
  if (caller === null) return answerProblem(refuse(["request.credentials"], "UNAUTHENTICATED"));
  const found = route(method, target);
  if (found === null) return answerProblem(refuse(["request.route"], "NOT_FOUND"));
  const operation = OPERATIONS[found.name];
  const permitted = permit(caller, { neededScope: operation.scope, servedEnvironment });
  if (permitted.outcome === "refused") return answerProblem(permitted);
  const read = readValues(found, { target, body });
  if (read.outcome === "refused") return answerProblem(read);
  const keyed = passKey(operation, headers);
  if (keyed.outcome === "refused") return answerProblem(keyed);
  const changes = nothing();
  const policies = buckets.map((policy) => ({ kind: "token bucket", ...policy }));
  const charges = policies.map((policy, place) => ({ policy, state: stored.buckets[place] ?? null }));
  const overcharged = limited(charges, { now, rule: "request.buckets", changes });
  if (overcharged !== null) return overcharged;
  if (keyed.key === null) return execute(found, { caller, read, stored, now, newIds, headers, rules: [], changes });
  const begun = begin(stored.record, { fingerprint: fingerprint(read), now });
  const { rules } = begun;
  if (begun.outcome === "replay") return answer({ ...begun.response, rules, replayed: true, changes });
  if (begun.outcome === "refused") return answerProblem(begun, { changes });
  const done = execute(found, { caller, read, stored, now, newIds, headers, rules, changes });
  if (isKept(done.status)) {
    const { apiKeyId, appId, customerAccountId, environment } = caller;
    const key = { key: keyed.key, owner: { apiKeyId, appId, customerAccountId, environment } };
    done.changes.writes.push(write("record", completed(begun, { key, now })));
  }
  return done;
}

// Pass the app user's limit and the ownership, then run the operation.
function execute(found, { caller, read, stored, now, newIds, headers, rules: before, changes }) {
  const operation = OPERATIONS[found.name];
  if (operation.limit !== null) {
    const policy = { kind: "exact log", name: operation.limit, limit: 10, seconds: 60 };
    const refused = limited([{ policy, state: stored.limit }], { now, rule: "request.limit", changes });
    if (refused !== null) return refused;
  }
  const rules = [...before, `operation.${found.name}`];
  if (found.id !== null && !owns(caller, { connection: stored.connection, id: read.values.connectionId })) {
    return answerProblem(refuse([...rules, "request.ownership"], "NOT_FOUND"), { changes });
  }
  const run = RUNS[found.name]({ caller, values: read.values, stored, now, newIds, headers });
  rules.push(...run.rules);
  if (run.outcome === "refused") return answerProblem({ ...run, rules }, { changes });
  for (const name of ["writes", "effects", "events"]) changes[name].push(...(run[name] ?? []));
  const given = run.headers ?? [JSON_TYPE];
  return answer({ status: run.status ?? operation.status, headers: given, body: run.body, rules, changes });
}

// A connection of another app, account or environment is as good as unknown.
function owns(caller, { connection, id }) {
  if (connection === null || connection.identity.id !== id) return false;
  const { coordinate } = connection.identity;
  return ["environment", "appId", "customerAccountId"].every((name) => coordinate[name] === caller[name]);
}

const coordinateOf = ({ environment, appId, customerAccountId }, appUserId) => ({
  environment,
  appId,
  customerAccountId,
  appUserId,
});

function show(connection, { stored, now }) {
  const { binding } = stored;
  return showConnection(connection, { now, era: eraOf(binding), tombstonedAt: binding?.tombstonedAt ?? null }).shown;
}

const actionOf = ({ nextAction }) => ({ type: "open_webview", url: nextAction.url, expiresAt: nextAction.expiresAt });

// Answer with a next action last, which no cache may store.
function withAction(members, { newIds, ...run }) {
  const body = writeText({ ...members, nextAction: actionOf(newIds) });
  return { headers: [JSON_TYPE, NO_STORE], body, ...run };
}

function createConnection({ caller, values, stored, now, newIds }) {
  const id = newIds.connectionId;
  const identity = {
    id,
    coordinate: coordinateOf(caller, values.appUserId),
    dataPackages: values.dataPackages,
    createdAt: now,
    era: eraOf(stored.binding),
    predecessorId: null,
    rootId: id,
    position: 1,
  };
  const made = newConnection(identity, newIds.nextAction.expiresAt);
  const writes = [write("connection", made)];
  const events = [connectionEvent("connection.created", made, now)];
  return withAction({ connection: show(made, { stored, now }) }, { newIds, rules: [], writes, events });
}

function getConnection({ stored, now }) {
  const { landed, successor, head } = stored;
  if (landed === null) {
    return { body: writeText({ connection: show(stored.connection, { stored, now }) }), rules: [] };
  }
  // A hand-off that landed is the fact authorize, however late it is read.
  const era = eraOf(stored.binding);
  const { connection, rules } = authorize(stored.connection, { ...landed, successor, head, now, era });
  const shown = show(connection ?? stored.connection, { stored, now });
  const healed = connection === undefined ? {} : authorized(connection);
  return { body: writeText({ connection: shown }), rules, ...healed };
}

function authorized(connection) {
  const events = [connectionEvent("connection.authorized", connection, connection.updatedAt)];
  return { writes: [write("connection", connection)], events };
}

function runReconnect({ stored, now, newIds }) {
  const { connection, successor, head } = stored;
  const nextActionExpiresAt = newIds.nextAction.expiresAt;
  const era = eraOf(stored.binding);
  const given = { successor, head, newId: newIds.connectionId, nextActionExpiresAt, now, era };
  const done = reconnect(connection, given);
  if (done.outcome === "refused") return done;
  const members = { connection: show(done.connection, { stored, now }), previousConnectionId: connection.identity.id };
  const minted = done.made === "minted";
  const kind = minted ? "connection.created" : "connection.reissued";
  return withAction(members, {
    newIds,
    rules: done.rules,
    // A new successor relies on its predecessor, whose version moves.
    writes: [write("connection", done.connection), ...(minted ? [touch("connection", connection)] : [])],
    effects: minted ? [] : [{ kind: "NextActionReplaced", connectionId: successor.identity.id }],
    events: [connectionEvent(kind, done.connection, done.connection.updatedAt)],
  });
}

function runRevoke({ stored, now }) {
  const era = eraOf(stored.binding);
  const [done] = revokeChain(stored.connection, { actor: "APP", following: [], now, era }).answers;
  const connection = show(done.connection ?? stored.connection, { stored, now });
  const revokedNow = done.outcome === "done";
  const changes = revokedNow ? revoked(done.connection, { stored, now, era }) : {};
  return { body: writeText({ connection, revokedNow }), rules: done.rules, ...changes };
}

// What a revocation of one connection changes. A live head is named, and relied on.
function revoked(connection, { stored, now, era }) {
  const writes = [write("connection", connection)];
  const effects = endingEffects(stored.connection, connection.revokedAt);
  const { head } = stored;
  if (head !== null && life(head, { now, era }).live) {
    writes.push(touch("connection", head));
    const connectionId = connection.identity.id;
    effects.push({ kind: "SuccessorsLive", connectionId, headConnectionId: head.identity.id });
  }
  return { writes, effects, events: [connectionEvent("connection.revoked", connection, connection.updatedAt)] };
}

function initiate({ caller, values, stored, now, newIds }) {
  const { binding, session, rules } = enter(stored.binding, {
    coordinate: coordinateOf(caller, values.appUserId),
    preferSignup: values.preferSignup,
    newSessionId: newIds.sessionId,
    newUserId: newIds.userId,
    nextActionExpiresAt: newIds.nextAction.expiresAt,
    now,
  });
  const writes = [write("session", session)];
  const events = [sessionEvent("connect_session.initiated", session, now)];
  const effects = [];
  if (session.handoff === "LANDED") writes.push(touch("binding", binding));
  if (binding !== stored.binding) {
    writes.push(write("binding", binding));
    events.push(bindingEvent("binding.provisioned", binding, now));
    effects.push({ kind: "UserProvisioned", userId: binding.userId, coordinate: binding.coordinate });
  }
  return withAction({ session: showSession(session) }, { newIds, rules, writes, effects, events });
}

function readAccountState({ stored, headers }) {
  const lifecycleState = accountState(stored.binding);
  const etag = `"account-${lifecycleState.toLowerCase()}"`;
  const cached = [["cache-control", "private, no-cache"], ["etag", etag]];
  if (matches(valuesOf(headers, "if-none-match"), etag)) {
    return { status: 304, headers: cached, body: "", rules: [] };
  }
  return { headers: [JSON_TYPE, ...cached], body: writeText({ lifecycleState }), rules: [] };
}

function graduationHandoff({ stored, newIds }) {
  const started = startGraduation(stored.binding);
  return started.outcome === "refused" ? started : withAction({}, { newIds, rules: started.rules });
}

const RUNS = {
  "create-connection": createConnection,
  "get-connection": getConnection,
  reconnect: runReconnect,
  revoke: runRevoke,
  initiate,
  "account-state": readAccountState,
  "graduation-handoff": graduationHandoff,
};
