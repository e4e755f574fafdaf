// Rate limits: exact logs and token buckets, several at once, and the headers of a refusal.

import { divideUp, later, SECOND, SKEW, wholeSeconds } from "./instants.mjs";
import { Mistake } from "./problems.mjs";

// A check returns what was available, the wait (null if admitted), the new state and its end.

function checkLog(policy, { state, cost, now }) {
  const span = BigInt(policy.seconds) * SECOND;
  const instants = (state?.instants ?? []).map(BigInt);
  const live = instants.filter((instant) => instant + span > now);
  const available = Math.max(policy.limit - live.length, 0);
  if (cost > available) {
    // So many of the oldest must leave before there is room.
    const leaving = live.length + cost - policy.limit;
    return { available, wait: live[leaving - 1] + span - now };
  }
  const longest = Math.max(policy.limit, instants.length);
  const dropped = Math.max(instants.length + cost - longest, 0);
  const kept = [...instants.slice(dropped), ...Array(cost).fill(now)];
  kept.sort((one, other) => Number(one - other));
  const expiresAt = kept.at(-1) + span;
  return { available, wait: null, state: { instants: kept.map(Number) }, expiresAt };
}

// A bucket counts time in parts of a microsecond, one for each token of a refill, so nothing is rounded.
function checkBucket(policy, { state, cost, now }) {
  const parts = BigInt(policy.refill);
  const each = BigInt(policy.seconds) * SECOND;
  const span = BigInt(policy.capacity) * each;
  const present = now * parts;
  const fullAt = state === null ? present : BigInt(state.fullAt) * parts + BigInt(state.part);
  const after = (full) => {
    const bucket = { fullAt: Number(full / parts), part: Number(full % parts) };
    return { wait: null, state: bucket, expiresAt: divideUp(full, parts) };
  };
  if (fullAt > present + span + SKEW * parts) {
    // A clock that ran ahead was put right.
    return { available: policy.capacity, ...after(present + span) };
  }
  const base = later(fullAt, present);
  const available = Number(later((present + span - base) / each, 0n));
  const full = base + BigInt(cost) * each;
  if (full > present + span) return { available, wait: divideUp(full - span - present, parts) };
  return { available, ...after(full) };
}

const most = (policy) => policy.limit ?? policy.capacity;

// Quote a name as a structured field does.
const quoted = (name) => `"${name.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;

/** Return the headers of a refusal. */
export function limitHeaders(policy, wait) {
  const seconds = wholeSeconds(wait);
  const span = policy.refill === undefined ? policy.seconds : Math.ceil((policy.capacity * policy.seconds) / policy.refill);
  return {
    "retry-after": String(seconds),
    "ratelimit-policy": `${quoted(policy.name)};q=${most(policy)};w=${span}`,
    ratelimit: `${quoted(policy.name)};r=0;t=${seconds}`,
  };
}

/** Charge several limits, all or none. The longest wait is named, the first of equal ones. */
export function charge(charges, { cost, now }) {
  if (cost < 1) throw new Mistake({ argument: "cost" });
  for (const { policy } of charges) {
    if (cost > most(policy)) throw new Mistake({ policy: policy.name, most: most(policy) });
  }
  const checks = charges.map(({ policy, state }) => {
    const check = policy.kind === "exact log" ? checkLog : checkBucket;
    return { policy, ...check(policy, { state, cost, now }) };
  });
  const availableBefore = checks.map((check) => check.available);
  const refusing = checks.filter((check) => check.wait !== null);
  if (refusing.length > 0) {
    const named = refusing.reduce((worst, check) => (check.wait > worst.wait ? check : worst));
    const headers = limitHeaders(named.policy, named.wait);
    const retryAfterMicroseconds = Number(named.wait);
    const states = charges.map(({ state }) => state);
    return { outcome: "limited", availableBefore, policy: named.policy.name, headers, retryAfterMicroseconds, states };
  }
  const states = checks.map((check) => check.state);
  return { outcome: "admitted", availableBefore, states, stateExpiresAt: checks.map((check) => check.expiresAt) };
}

// The name of the state that a request charges: new numbers under a bucket's name are a new state.
export function stateKey({ environment, appId, customerAccountId, apiKeyId, appUserId, policy }) {
  const { kind, name, capacity, refill, seconds } = policy;
  return JSON.stringify(
    kind === "token bucket"
      ? [kind, apiKeyId, environment, appId, customerAccountId, name, capacity, refill, seconds]
      : [kind, environment, customerAccountId, appUserId, name],
  );
}
