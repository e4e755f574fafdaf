// One whole request: its gates in their order, then the operation, then the answer.

import { accountState, enter, eraOf, startGraduation } from "./bindings.mjs";
import { newConnection, reconnect, revokeChain } from "./chains.mjs";
import { authorize } from "./connection.mjs";
import { matches, readIdempotencyKey, valuesOf } from "./headers.mjs";
import { begin } from "./idempotency.mjs";
import { formatTime } from "./instants.mjs";
import { charge } from "./limits.mjs";
import { problemDocument, problem, refuse } from "./problems.mjs";
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
function write(value) {
  return JSON.stringify(value, (name, part) => (typeof part === "bigint" ? formatTime(part) : part));
}

function answer({ status, headers, body, rules, replayed = false }) {
  return { status, headers, body, rules, replayed };
}

function answerProblem({ problem: given, rules }, limit = {}) {
  const headers = [PROBLEM_TYPE];
  if (given.status === 401) headers.push(["www-authenticate", "Bearer"]);
  if (given.status === 429) headers.push(NO_STORE);
  if (given.code === "IDEMPOTENCY_KEY_IN_FLIGHT") headers.push(["retry-after", String(given.details.retryAfter)]);
  headers.push(...Object.entries(limit));
  return answer({ status: given.status, headers, body: problemDocument(given), rules });
}

// Charge some limits; return the answer of a refusal, or null.
function limited(charges, { now, rule }) {
  const charged = charge(charges, { cost: 1, now });
  if (charged.outcome === "admitted") return null;
  const details = { policy: charged.policy, retryAfter: Number(charged.headers["retry-after"]) };
  return answerProblem({ problem: problem("RATE_LIMITED", details), rules: [rule] }, charged.headers);
}

// Pass the gate of the key: nothing where none is looked at, else the key's record decides.
function passKey(operation, headers) {
  const values = valuesOf(headers, "idempotency-key");
  if (operation.key === "needed") return readIdempotencyKey(values);
  if (operation.key === "not allowed" && values.length > 0) {
    return refuse(["request.key-not-allowed"], "IDEMPOTENCY_KEY_NOT_ALLOWED");
  }
  return { outcome: "done", key: null };
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
  const policies = buckets.map((policy) => ({ kind: "token bucket", ...policy }));
  const charges = policies.map((policy, place) => ({ policy, state: stored.buckets[place] ?? null }));
  const overcharged = limited(charges, { now, rule: "request.buckets" });
  if (overcharged !== null) return overcharged;
  const rules = [];
  if (keyed.key !== null) {
    const begun = begin(stored.record, { fingerprint: fingerprint(read), now });
    if (begun.outcome === "replay") return answer({ ...begun.response, rules: begun.rules, replayed: true });
    if (begun.outcome === "refused") return answerProblem(begun);
    rules.push(...begun.rules);
  }
  if (operation.limit !== null) {
    const policy = { kind: "exact log", name: operation.limit, limit: 10, seconds: 60 };
    const refused = limited([{ policy, state: stored.limit }], { now, rule: "request.limit" });
    if (refused !== null) return refused;
  }
  rules.push(`operation.${found.name}`);
  if (found.id !== null && !owns(caller, { connection: stored.connection, id: read.values.connectionId })) {
    return answerProblem(refuse([...rules, "request.ownership"], "NOT_FOUND"));
  }
  const run = RUNS[found.name]({ caller, values: read.values, stored, now, newIds, headers });
  rules.push(...run.rules);
  if (run.outcome === "refused") return answerProblem({ ...run, rules });
  const given = run.headers ?? [JSON_TYPE];
  return answer({ status: run.status ?? operation.status, headers: given, body: run.body, rules });
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
function withAction(members, { newIds, rules }) {
  const body = write({ ...members, nextAction: actionOf(newIds) });
  return { outcome: "done", headers: [JSON_TYPE, NO_STORE], body, rules };
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
  const connection = show(newConnection(identity, newIds.nextAction.expiresAt), { stored, now });
  return withAction({ connection }, { newIds, rules: [] });
}

function getConnection({ stored, now }) {
  const { landed, successor, head } = stored;
  let { connection } = stored;
  let rules = [];
  if (landed !== null) {
    // A hand-off that landed is the fact authorize, however late it is read.
    const healed = authorize(connection, { ...landed, successor, head, now, era: eraOf(stored.binding) });
    ({ rules } = healed);
    connection = healed.connection ?? connection;
  }
  return { outcome: "done", body: write({ connection: show(connection, { stored, now }) }), rules };
}

function runReconnect({ stored, now, newIds }) {
  const { connection, successor, head } = stored;
  const nextActionExpiresAt = newIds.nextAction.expiresAt;
  const era = eraOf(stored.binding);
  const given = { successor, head, newId: newIds.connectionId, nextActionExpiresAt, now, era };
  const done = reconnect(connection, given);
  if (done.outcome === "refused") return done;
  const members = { connection: show(done.connection, { stored, now }), previousConnectionId: connection.identity.id };
  return withAction(members, { newIds, rules: done.rules });
}

function runRevoke({ stored, now }) {
  const era = eraOf(stored.binding);
  const [done] = revokeChain(stored.connection, { actor: "APP", following: [], now, era }).answers;
  const connection = show(done.connection ?? stored.connection, { stored, now });
  const revokedNow = done.outcome === "done";
  return { outcome: "done", body: write({ connection, revokedNow }), rules: done.rules };
}

function initiate({ caller, values, stored, now, newIds }) {
  const { session, rules } = enter(stored.binding, {
    coordinate: coordinateOf(caller, values.appUserId),
    preferSignup: values.preferSignup,
    newSessionId: newIds.sessionId,
    newUserId: newIds.userId,
    nextActionExpiresAt: newIds.nextAction.expiresAt,
    now,
  });
  const { id, coordinate, path, handoff, createdAt, expiresAt, landedAt } = session;
  const { customerAccountId, appUserId } = coordinate;
  const shown = { id, customerAccountId, appUserId, path, handoff, createdAt, expiresAt, landedAt };
  return withAction({ session: shown }, { newIds, rules });
}

function readAccountState({ stored, headers }) {
  const lifecycleState = accountState(stored.binding);
  const etag = `"account-${lifecycleState.toLowerCase()}"`;
  const cached = [["cache-control", "private, no-cache"], ["etag", etag]];
  if (matches(valuesOf(headers, "if-none-match"), etag)) {
    return { outcome: "done", status: 304, headers: cached, body: "", rules: [] };
  }
  return { outcome: "done", headers: [JSON_TYPE, ...cached], body: write({ lifecycleState }), rules: [] };
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
