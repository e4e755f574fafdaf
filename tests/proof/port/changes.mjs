// What a request changes beside its answer: writes, effects and events, as plain values.

import { ending } from "./connection.mjs";
import { showConnection } from "./wire.mjs";

/** The changes of a request that changes nothing. */
export const nothing = () => ({ writes: [], effects: [], events: [] });

export const write = (kind, after) => ({ kind, after });

/** A write that moves only the version of a row that a decision relied on. */
export const touch = (kind, row) => write(kind, { ...row, version: row.version + 1 });

/** An event about a connection shows it as it is then. Its own row alone counts, not its era. */
export function connectionEvent(kind, connection, at) {
  const { coordinate, era } = connection.identity;
  return { kind, at, coordinate, subject: showConnection(connection, { now: at, era }).shown };
}

/** Show a session as the wire does: no user id. */
export function showSession({ id, coordinate, path, handoff, createdAt, expiresAt, landedAt }) {
  const { customerAccountId, appUserId } = coordinate;
  return { id, customerAccountId, appUserId, path, handoff, createdAt, expiresAt, landedAt };
}

export function sessionEvent(kind, session, at) {
  return { kind, at, coordinate: session.coordinate, subject: showSession(session) };
}

export function bindingEvent(kind, binding, at) {
  return { kind, at, coordinate: binding.coordinate, subject: { lifecycleState: binding.state } };
}

const NAMES = { "access ended": "AccessEnded", "hand-off cancelled": "HandoffCancelled" };

/** Return what a server must do when a connection was revoked. */
export function endingEffects(connection, at) {
  return ending(connection, "done", at).effects.map((effect) => ({ ...effect, kind: NAMES[effect.kind] }));
}
