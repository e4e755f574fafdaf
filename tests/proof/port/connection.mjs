// One connection: its standing, its deadline, and what each trigger does to it.

import { clamp, later } from "./instants.mjs";
import { Mistake, refuse } from "./problems.mjs";

/** Spell a status or a standing as the names of rules do. */
export const kebab = (word) => word.toLowerCase().replaceAll("_", "-");

/** Say which deadline a stored connection waits for, and when that is. */
export function deadline(connection, era) {
  const { status, revokedAt, handoffDeadline, expiresAt, identity } = connection;
  if (revokedAt !== null) return { waitsFor: "none", at: null, rule: "deadline.revoked-at" };
  if (identity.era !== era) return { waitsFor: "none", at: null, rule: "deadline.other-era" };
  const rule = `deadline.${kebab(status)}`;
  if (status === "PENDING") return { waitsFor: "the hand-off's deadline", at: handoffDeadline, rule };
  if (status === "EXPIRED" || status === "REVOKED") return { waitsFor: "none", at: null, rule };
  return { waitsFor: "expiresAt", at: expiresAt, rule };
}

/** Return the standing at an instant, and its rule. A read asks at its own clock, as it is. */
export function standing(connection, { now, era }) {
  const { status, revokedAt, identity } = connection;
  if (revokedAt !== null) return { standing: "REVOKED", rule: "standing.revoked-at" };
  if (identity.era !== era) return { standing: "REVOKED", rule: "standing.other-era" };
  const { at } = deadline(connection, era);
  const over = at !== null && now >= at;
  if (!over) return { standing: status, rule: `standing.${kebab(status)}` };
  if (status === "PENDING") return { standing: "LAPSED", rule: "standing.lapsed" };
  return { standing: "EXPIRED", rule: `standing.${kebab(status)}-over` };
}

/** Decide about access to one data package. */
export function decideAccess(connection, { dataPackage, now, era }) {
  const found = standing(connection, { now, era }).standing;
  const deny = (reason, name) => ({ outcome: "denied", reason, rules: [`access.${name}`] });
  if (found !== "ACTIVE") return deny(found, kebab(found));
  if (!connection.identity.dataPackages.includes(dataPackage)) {
    return deny("PACKAGE_NOT_GRANTED", "active-other-package");
  }
  return { outcome: "granted", rules: ["access.active"], validUntil: connection.expiresAt };
}

// What a trigger does at each standing: a status to move to, "ignore", or a problem's code.
// "record" writes an expiry down, once. A reconnect that may run does "recover" (chains.mjs).
const TRIGGERS = {
  authorize: {
    PENDING: "ACTIVE",
    LAPSED: "HANDOFF_LAPSED",
    ACTIVE: "ignore",
    ACTION_REQUIRED: "CONNECTION_NOT_PENDING",
    EXPIRED: "CONNECTION_NOT_PENDING",
    REVOKED: "CONNECTION_NOT_PENDING",
  },
  require_action: {
    PENDING: "ignore",
    LAPSED: "ignore",
    ACTIVE: "ACTION_REQUIRED",
    ACTION_REQUIRED: "ignore",
    EXPIRED: "ignore",
    REVOKED: "ignore",
  },
  expire: {
    PENDING: "ignore",
    LAPSED: "ignore",
    ACTIVE: "EXPIRED",
    ACTION_REQUIRED: "EXPIRED",
    EXPIRED: "record",
    REVOKED: "ignore",
  },
  revoke: {
    PENDING: "REVOKED",
    LAPSED: "REVOKED",
    ACTIVE: "REVOKED",
    ACTION_REQUIRED: "REVOKED",
    EXPIRED: "REVOKED",
    REVOKED: "ignore",
  },
};

/** Return a connection with some members changed, by one write at an instant. */
export function written(connection, changes, at) {
  return { ...connection, ...changes, updatedAt: at, version: connection.version + 1 };
}

function details(code, connection, found) {
  const connectionId = connection.identity.id;
  if (code === "HANDOFF_LAPSED") return { connectionId, deadline: connection.handoffDeadline };
  return { connectionId, standing: found };
}

/** Look one cell of the table up and do what it says. `changes` are the members of a move. */
function move(connection, { trigger, found, now, changes }) {
  const rules = [`connection.${kebab(trigger)}.${kebab(found)}`];
  let does = TRIGGERS[trigger][found];
  if (does === "record") {
    rules.push(`expiry-record.${kebab(connection.status)}`);
    does = connection.status === "EXPIRED" ? "ignore" : "EXPIRED";
  }
  if (does === "ignore") return { outcome: "ignored", rules };
  if (does === "HANDOFF_LAPSED" || does === "CONNECTION_NOT_PENDING") {
    return refuse(rules, does, details(does, connection, found));
  }
  return { outcome: "done", connection: written(connection, { status: does, ...changes }, now), rules };
}

/** Raise a clock that is behind a connection's last write. */
export const raisedClock = (connection, now) => later(now, connection.updatedAt);

// Return the raised clock and the instant at which a fact counts.
function instants(connection, { now, happenedAt }) {
  const raised = raisedClock(connection, now);
  const at = later(clamp(happenedAt, raised), connection.identity.createdAt);
  return { now: raised, at };
}

/** Record an authorization. A connection with a successor is never authorized. */
export function authorize(connection, { expiresAt, successor, head, era, ...clock }) {
  const { now, at } = instants(connection, clock);
  if (expiresAt !== null && expiresAt <= at) throw new Mistake({ argument: "expiresAt" });
  if (successor !== null) {
    const next = standing(successor, { now, era }).standing;
    const rule = `authorization.successor-${next === "PENDING" ? "pending" : "other"}`;
    return superseded([rule], { connection, successor, head });
  }
  const found = standing(connection, { now: at, era }).standing;
  const changes = { authorizedAt: at, expiresAt };
  return move(connection, { trigger: "authorize", found, now, changes });
}

/** Record that the patient must act. */
export function requireAction(connection, { reason, era, ...clock }) {
  const { now, at } = instants(connection, clock);
  const found = standing(connection, { now: at, era }).standing;
  const changes = { actionRequiredReason: reason };
  return move(connection, { trigger: "require_action", found, now, changes });
}

/** Record an expiry. */
export function expire(connection, { era, ...clock }) {
  const { now, at } = instants(connection, clock);
  const found = standing(connection, { now: at, era }).standing;
  return move(connection, { trigger: "expire", found, now, changes: {} });
}

/** Revoke one connection. It is judged now, also where the revocation happened earlier. */
export function revoke(connection, { actor, era, ...clock }) {
  const { now, at } = instants(connection, clock);
  const found = standing(connection, { now, era }).standing;
  const changes = { revokedAt: at, revokedBy: actor };
  return move(connection, { trigger: "revoke", found, now, changes });
}

/** Refuse because the chain went on. The next connection and the head are named. */
export function superseded(rules, { connection, successor, head }) {
  return refuse(rules, "CONNECTION_SUPERSEDED", {
    connectionId: connection.identity.id,
    nextConnectionId: successor.identity.id,
    headConnectionId: (head ?? successor).identity.id,
  });
}

const ENDS = { PENDING: "its live hand-off" };

/** Say what a server must end when a connection leaves its status, and by which effects. */
export function ending(connection, outcome, at) {
  const { status, identity } = connection;
  const ends = ENDS[status] ?? "the access that it gave";
  const rule = `ending.${kebab(status)}`;
  if (outcome !== "done") return { ends, effects: [], rule };
  const connectionId = identity.id;
  if (status === "PENDING") return { ends, effects: [{ kind: "hand-off cancelled", connectionId }], rule };
  return { ends, effects: [{ kind: "access ended", connectionId, at }], rule };
}
