// Chains of connections: recovery, how far a revocation goes, life, and merged snapshots.

import { isDeepStrictEqual } from "node:util";
import { kebab, raisedClock, revoke, standing, superseded, written } from "./connection.mjs";
import { earlier, LAST_INSTANT, later } from "./instants.mjs";
import { Mistake, refuse } from "./problems.mjs";
import { compareCodePoints } from "./text.mjs";

const NOT_RECONNECTABLE = { PENDING: "STILL_PENDING", ACTIVE: "ALREADY_ACTIVE" };

/** Make a connection that waits for its patient. */
export function newConnection(identity, handoffDeadline) {
  return {
    identity,
    status: "PENDING",
    handoffDeadline,
    authorizedAt: null,
    expiresAt: null,
    revokedAt: null,
    revokedBy: null,
    actionRequiredReason: null,
    updatedAt: identity.createdAt,
    version: 1,
  };
}

// The deadline moves by as much as the clock was raised, up to the last instant.
const movedDeadline = (expiresAt, { now, raised }) => earlier(expiresAt + raised - now, LAST_INSTANT);

/** Reconnect: mint one successor, or give the pending one a new hand-off. */
export function reconnect(connection, { successor, head, newId, nextActionExpiresAt, now, era }) {
  const found = standing(connection, { now: raisedClock(connection, now), era }).standing;
  const rules = [`connection.reconnect.${kebab(found)}`];
  const connectionId = connection.identity.id;
  if (found in NOT_RECONNECTABLE) {
    const reason = NOT_RECONNECTABLE[found];
    return refuse(rules, "CONNECTION_NOT_RECONNECTABLE", { connectionId, reason });
  }
  const recovery = (name) => [...rules, `recovery.${kebab(found)}.${name}`];
  if (successor === null) {
    const { identity } = connection;
    const successorIdentity = {
      ...identity,
      id: newId,
      predecessorId: identity.id,
      position: identity.position + 1,
      createdAt: raisedClock(connection, now),
      era,
    };
    const ends = movedDeadline(nextActionExpiresAt, { now, raised: successorIdentity.createdAt });
    const minted = newConnection(successorIdentity, ends);
    return { outcome: "done", made: "minted", connection: minted, rules: recovery("none") };
  }
  const instant = raisedClock(successor, now);
  if (standing(successor, { now: instant, era }).standing !== "PENDING") {
    return superseded(recovery("other"), { connection, successor, head });
  }
  const ends = movedDeadline(nextActionExpiresAt, { now, raised: instant });
  const reissued = written(successor, { handoffDeadline: ends }, instant);
  return { outcome: "done", made: "reissued", connection: reissued, rules: recovery("pending") };
}

const REACH = {
  APP: "that connection",
  PATIENT: "that connection and every later one",
  PLATFORM: "that connection and every later one",
  UPSTREAM: "that connection",
};

/** Revoke a connection and, if the actor ends the chain, every later one. */
export function revokeChain(connection, { actor, following, now, happenedAt = null, era }) {
  const reach = REACH[actor];
  const rule = `revocation-reach.${kebab(actor)}`;
  const reached = reach === REACH.APP ? [connection] : [connection, ...following];
  const answers = reached.map((one) => revoke(one, { actor, era, now, happenedAt }));
  answers[0].rules.unshift(rule);
  return { answers, reach, rule };
}

/** Say whether a connection gives access, or can still do so without a new recovery. */
export function life(connection, { now, era }) {
  const found = standing(connection, { now, era }).standing;
  const live = ["PENDING", "ACTIVE", "ACTION_REQUIRED"].includes(found);
  return { live, rule: `life.${kebab(found)}` };
}

const RANKS = ["PENDING", "ACTIVE", "ACTION_REQUIRED", "EXPIRED", "REVOKED"];

// Join two values of which one or both may be absent: an absent one loses.
const join = (pick) => (one, other) => {
  if (one === null) return other;
  return other === null ? one : pick(one, other);
};
const earliest = join(earlier);
const latest = join(later);
const first = join((one, other) => (compareCodePoints(one, other) <= 0 ? one : other));

// Who revoked: the actor of the earliest revocation.
function firstActor(left, right) {
  if (left.revokedAt === right.revokedAt) return first(left.revokedBy, right.revokedBy);
  return earliest(left.revokedAt, right.revokedAt) === left.revokedAt ? left.revokedBy : right.revokedBy;
}

/** Join two snapshots of one connection. The order does not matter. */
export function merge(left, right) {
  if (!isDeepStrictEqual(left.identity, right.identity)) throw new Mistake({});
  const rank = Math.max(RANKS.indexOf(left.status), RANKS.indexOf(right.status));
  return {
    identity: left.identity,
    status: RANKS[rank],
    handoffDeadline: latest(left.handoffDeadline, right.handoffDeadline),
    authorizedAt: earliest(left.authorizedAt, right.authorizedAt),
    expiresAt: earliest(left.expiresAt, right.expiresAt),
    revokedAt: earliest(left.revokedAt, right.revokedAt),
    revokedBy: firstActor(left, right),
    actionRequiredReason: first(left.actionRequiredReason, right.actionRequiredReason),
    updatedAt: later(left.updatedAt, right.updatedAt),
    version: Math.max(left.version, right.version),
  };
}
