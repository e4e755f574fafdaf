// One function for each document of vectors: from a case's input to its answer and its rule.

import { createHash } from "node:crypto";
import * as bindings from "./bindings.mjs";
import * as chains from "./chains.mjs";
import * as connections from "./connection.mjs";
import { readApiKey, readIdempotencyKey } from "./headers.mjs";
import * as idempotency from "./idempotency.mjs";
import { parseTime } from "./instants.mjs";
import { charge, stateKey } from "./limits.mjs";
import { recordFact } from "./pages.mjs";
import * as problems from "./problems.mjs";
import { fingerprint, readValues, route } from "./reading.mjs";
import { decide, permit } from "./requests.mjs";
import * as texts from "./text.mjs";
import { readConnection, showConnection } from "./wire.mjs";

// An answer whose last rule had the last word.
const ruled = (answer) => ({ answer, rule: answer.rules?.at(-1) ?? null });

const apart = ({ rule, ...answer }) => ({ answer, rule });

const plain = (answer) => ({ answer, rule: null });

const read = (reader) => ({ value }) => plain({ outcome: "done", value: reader(value) });

const TRIGGERS = {
  authorize: connections.authorize,
  require_action: connections.requireAction,
  expire: connections.expire,
  revoke: connections.revoke,
  reconnect: chains.reconnect,
};

function trigger({ connection, trigger: name, ...given }) {
  const answer = TRIGGERS[name](connection, given);
  if (name === "revoke") answer.revokedNow = answer.outcome === "done";
  return ruled(answer);
}

function revocation({ connection, ...given }) {
  return apart(chains.revokeChain(connection, given));
}

const FACTS = {
  "connection.authorize": "authorize",
  "connection.require_action": "require_action",
  "connection.expire": "expire",
  "connection.revoke": "revoke",
};

function ending({ connection, fact, now }) {
  const given = { actor: "PATIENT", reason: "portal_login", expiresAt: null, successor: null, head: null };
  const clock = { now, happenedAt: null, era: connection.identity.era };
  const { outcome } = TRIGGERS[FACTS[fact]](connection, { ...given, ...clock });
  return apart(connections.ending(connection, outcome, now));
}

const TRIGGERS_OF_BINDINGS = {
  provision: bindings.provision,
  "complete sign-up": bindings.completeSignUp,
  graduate: bindings.graduate,
  tombstone: bindings.tombstone,
};

function binding({ binding: before, trigger: name, ...given }) {
  return ruled(TRIGGERS_OF_BINDINGS[name](before, given));
}

function tombstone({ binding: before, connections: loaded, now, ...given }) {
  const answer = bindings.tombstone(before, { now, ...given });
  if (answer.outcome === "done") {
    answer.connections = bindings.sweep(answer.binding, { connections: loaded, now });
  }
  return ruled(answer);
}

// The rule is that of the path, also where the path provisions a user.
function entryPath({ binding: before, ...given }) {
  const answer = bindings.enter(before, given);
  return { answer, rule: answer.rules[0] };
}

function recordStanding({ record, now }) {
  const { standing, rule } = idempotency.recordStanding(record, now);
  return { answer: { standing, recordExpiresAt: idempotency.recordExpiresAt(record) }, rule };
}

function request(input) {
  const { method, target, body: text, spaces = 0 } = input;
  const body = text === undefined ? undefined : text + " ".repeat(spaces);
  const found = route(method, target);
  if (found === null) return ruled(problems.refuse(["request.route"], "NOT_FOUND"));
  const values = readValues(found, { target, body });
  if (values.outcome === "refused") return ruled(values);
  return plain({ outcome: "done", ...fingerprint(values) });
}

function wholeRequest(input) {
  const body = input.body === null ? "" : JSON.stringify(input.body);
  return ruled(decide({ ...input, body }));
}

function problemStatus({ kind, codes }) {
  const known = Object.keys(problems.CODES).filter((code) => problems.CODES[code][0] === kind);
  if (codes.join() !== known.join()) throw new problems.Mistake({ codes: known });
  const [status, kept] = problems.KINDS[kind];
  return { answer: { status, kept }, rule: `problem-status.${kind.replace(" ", "-")}` };
}

function problemOf({ code, values, ...given }) {
  const document = problems.problemDocument(problems.problem(code, values), given);
  return { answer: { document }, rule: problems.problemRule(code) };
}

function limits({ charges, ...given }) {
  return plain(charge(charges, given));
}

function sha256({ headerValues }) {
  const key = readApiKey(headerValues);
  return plain({ sha256: key === null ? null : createHash("sha256").update(key).digest("hex") });
}

function idempotencyKey({ headerValues }) {
  const answer = readIdempotencyKey(headerValues);
  if (answer.outcome === "done") return plain(answer);
  return { answer: { outcome: "refused", status: answer.problem.status }, rule: answer.rules[0] };
}

// The page of the tables names the first rule, but a read without a scope asks no table.
function permission({ caller, ...given }) {
  const answer = permit(caller, given);
  return given.neededScope === null && answer.outcome === "done" ? plain({ outcome: "done" }) : ruled(answer);
}

export const DOCUMENTS = {
  access: ({ connection, ...given }) => ruled(connections.decideAccess(connection, given)),
  "app-user-id": read(texts.readAppUserId),
  attempt: ({ record, ...given }) => ruled(idempotency.act(record, given)),
  "authorization-header": sha256,
  authorization: trigger,
  binding,
  completion: ({ session, ...given }) => ruled(bindings.completeHandoff(session, given)),
  connection: trigger,
  "data-packages": read(texts.readDataPackages),
  deadline({ connection, era }) {
    const { waitsFor, at, rule } = connections.deadline(connection, era);
    return { answer: { deadline: waitsFor, nextDeadline: at }, rule };
  },
  ending,
  "entity-tag": wholeRequest,
  "entry-path": entryPath,
  "exact-log": limits,
  "expiry-record": trigger,
  "graduation-handoff": ({ binding: before }) => ruled(bindings.startGraduation(before)),
  idempotency: ({ record, ...given }) => ruled(idempotency.begin(record, given)),
  "idempotency-key": idempotencyKey,
  "kept-response": ({ status }) => plain({ kept: problems.isKept(status) }),
  "limit-state": ({ first, second }) => plain({ outcome: "done", shared: stateKey(first) === stateKey(second) }),
  life: ({ connection, ...given }) => apart(chains.life(connection, given)),
  merge: ({ left, right }) => plain({ outcome: "done", connection: chains.merge(left, right) }),
  operation: wholeRequest,
  "page-fact": (input) => ruled(recordFact(input)),
  permission,
  "problem-status": problemStatus,
  problems: problemOf,
  "record-standing": recordStanding,
  "record-upkeep": ({ record, ...given }) => ruled(idempotency.upkeep(record, given)),
  recovery: trigger,
  request: wholeRequest,
  "request-body": request,
  "request-target": request,
  "revocation-reach": revocation,
  "several-limits": limits,
  standing({ connection, now, era }) {
    const { standing, rule } = connections.standing(connection, { now, era });
    return { answer: { standing, nextDeadline: connections.deadline(connection, era).at }, rule };
  },
  "stored-status"({ document, ...given }) {
    const { connection, rule } = readConnection(document, given);
    return { answer: { outcome: "done", connection }, rule };
  },
  time: read(parseTime),
  "token-bucket": limits,
  tombstone,
  "tombstone-report": tombstone,
  uuid: read(texts.readUuid),
  "wire-status"({ connection, now, activeSpelling }) {
    const { shown, rule } = showConnection(connection, { now, era: connection.identity.era, activeSpelling });
    return { answer: { connection: shown }, rule };
  },
};
