// The user behind a coordinate: bindings, entry paths, hand-offs and tombstones.

import { kebab, raisedClock, written } from "./connection.mjs";
import { clamp, later } from "./instants.mjs";
import { Mistake, refuse } from "./problems.mjs";

export const accountState = (binding) => binding?.state ?? "UNLINKED";
export const eraOf = (binding) => binding?.era ?? null;

// Bind a user: the first generation of a coordinate, or the next one.
function bound(binding, { coordinate, state, userId }) {
  if (binding === null) {
    const tombstone = { era: null, tombstonedAt: null, tombstoneReportedAt: null, swept: true };
    return { coordinate, state, userId, generation: 1, ...tombstone, version: 1 };
  }
  return { ...binding, state, userId, generation: binding.generation + 1, version: binding.version + 1 };
}

// Refuse with the state of the account.
function refuseBinding(rules, code, binding) {
  return refuse(rules, code, { lifecycleState: accountState(binding) });
}

/** Bind a new LIMITED user where none is alive. */
export function provision(binding, { coordinate, userId }) {
  const state = accountState(binding);
  const rules = [`binding.provision.${kebab(state)}`];
  if (state === "LIMITED" || state === "ACTIVE") return { outcome: "ignored", rules };
  if (binding !== null && binding.userId === userId) throw new Mistake({ argument: "userId" });
  return { outcome: "done", binding: bound(binding, { coordinate, state: "LIMITED", userId }), rules };
}

/** Bind the ACTIVE user of a sign-up. */
export function completeSignUp(binding, { coordinate, userId }) {
  const state = accountState(binding);
  const rules = [`binding.complete-sign-up.${kebab(state)}`];
  if (state === "UNLINKED") {
    return { outcome: "done", binding: bound(binding, { coordinate, state: "ACTIVE", userId }), rules };
  }
  if (state !== "ACTIVE") return refuseBinding(rules, "BINDING_CHANGED", binding);
  if (binding.userId === userId) return { outcome: "ignored", rules: [`${rules[0]}.same`] };
  return refuseBinding([`${rules[0]}.other`], "BINDING_CONFLICT", binding);
}

/** Make a LIMITED user ACTIVE. */
export function graduate(binding, { userId }) {
  const state = accountState(binding);
  const rule = `binding.graduate.${kebab(state)}`;
  if (state !== "LIMITED" && state !== "ACTIVE") return refuseBinding([rule], "BINDING_CHANGED", binding);
  if (binding.userId !== userId) return refuseBinding([`${rule}.other`], "BINDING_CONFLICT", binding);
  const rules = [`${rule}.same`];
  if (state === "ACTIVE") return { outcome: "ignored", rules };
  const risen = { ...binding, state: "ACTIVE", version: binding.version + 1 };
  return { outcome: "done", binding: risen, rules };
}

/** Record a tombstone: a new era of the coordinate, whoever is bound. */
export function tombstone(binding, { coordinate, happenedAt = null, now }) {
  const tombstonedAt = clamp(happenedAt, now);
  if (happenedAt !== null && happenedAt === (binding?.tombstoneReportedAt ?? null)) {
    return { outcome: "ignored", rules: ["tombstone-report.copy"] };
  }
  const rules = [`binding.tombstone.${kebab(accountState(binding))}`];
  const before = binding ?? { coordinate, userId: null, generation: 0, version: 0, era: null };
  const era = before.era === null ? now : later(now, before.era + 1n);
  const state = "TOMBSTONED";
  const changes = { state, era, tombstonedAt, tombstoneReportedAt: happenedAt, swept: false };
  return { outcome: "done", binding: { ...before, ...changes, version: before.version + 1 }, rules };
}

/** Return what a sweep writes: each connection of another era, revoked once, in the order given. */
export function sweep(binding, { connections, now }) {
  const { era, tombstonedAt } = binding;
  const ended = connections.filter(({ identity, status, revokedAt }) => {
    return identity.era !== era && status !== "REVOKED" && revokedAt === null;
  });
  return ended.map((connection) => {
    const revokedAt = later(tombstonedAt, connection.identity.createdAt);
    const changes = { status: "REVOKED", revokedAt, revokedBy: "PLATFORM" };
    return written(connection, changes, raisedClock(connection, now));
  });
}

const HANDOFFS = {
  EXISTING_ACTIVE_HANDOFF: "LANDED",
  NEW_ACTIVE_SIGNUP_HANDOFF: "AWAITED",
  SILENT_LIMITED: "NOT_REQUIRED",
};

// Choose a path by the account's state and the app's preference alone.
function entryPath(state, preferSignup) {
  const preference = preferSignup ? "sign-up" : "silent";
  if (state === "ACTIVE") return ["EXISTING_ACTIVE_HANDOFF", "entry-path.active"];
  if (state === "TOMBSTONED") return ["SILENT_LIMITED", "entry-path.tombstoned"];
  const path = state === "UNLINKED" && preferSignup ? "NEW_ACTIVE_SIGNUP_HANDOFF" : "SILENT_LIMITED";
  return [path, `entry-path.${kebab(state)}.${preference}`];
}

/** Start a connect session. */
export function enter(binding, { coordinate, preferSignup, newSessionId, newUserId, nextActionExpiresAt, now }) {
  const [path, rule] = entryPath(accountState(binding), preferSignup);
  const rules = [rule];
  let after = binding;
  if (path === "SILENT_LIMITED" && accountState(binding) !== "LIMITED") {
    const provisioned = provision(binding, { coordinate, userId: newUserId });
    after = provisioned.binding;
    rules.push(...provisioned.rules);
  }
  const session = {
    id: newSessionId,
    coordinate,
    path,
    handoff: HANDOFFS[path],
    createdAt: now,
    expiresAt: nextActionExpiresAt,
    landedAt: HANDOFFS[path] === "LANDED" ? now : null,
    userId: HANDOFFS[path] === "AWAITED" ? null : after.userId,
    era: eraOf(binding),
  };
  return { outcome: "done", binding: after, session, rules };
}

// Say why a session cannot be completed, or null if it waits for its user.
function completionRefused(session, { binding, userId, at }) {
  const { id: sessionId, path, expiresAt } = session;
  const named = (name) => [`completion.${name}`];
  if (path !== "NEW_ACTIVE_SIGNUP_HANDOFF") {
    const name = path === "SILENT_LIMITED" ? "silent-limited" : "existing-active";
    return refuse(named(name), "HANDOFF_NOT_REQUIRED", { sessionId, path });
  }
  if (session.handoff === "LANDED") {
    if (session.userId === userId) return { outcome: "ignored", rules: named("landed.same") };
    return refuseBinding(named("landed.other"), "BINDING_CONFLICT", binding);
  }
  if (at >= expiresAt) return refuse(named("over"), "SESSION_EXPIRED", { sessionId, expiresAt });
  if (session.era !== eraOf(binding)) return refuseBinding(named("other-era"), "BINDING_CHANGED", binding);
  return null;
}

/** Complete the hand-off of a session: session and binding land together. */
export function completeHandoff(session, { binding, userId, happenedAt, now }) {
  const at = later(clamp(happenedAt, now), session.createdAt);
  const refused = completionRefused(session, { binding, userId, at });
  if (refused !== null) return refused;
  const signed = completeSignUp(binding, { coordinate: session.coordinate, userId });
  const rules = ["completion.waiting", ...signed.rules];
  if (signed.outcome === "refused") return { ...signed, rules };
  const landed = { ...session, handoff: "LANDED", landedAt: at, userId };
  return { outcome: "done", binding: signed.binding ?? binding, session: landed, rules };
}

/** Say whether a graduation hand-off may start. */
export function startGraduation(binding) {
  const state = accountState(binding);
  const rules = [`graduation-handoff.${kebab(state)}`];
  if (state === "LIMITED") return { outcome: "done", rules };
  return refuseBinding(rules, "BINDING_NOT_LIMITED", binding);
}
