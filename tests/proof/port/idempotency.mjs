// One key, one execution: what a record is, what a request gets, and what an attempt may do.

import { isDeepStrictEqual } from "node:util";
import { valuesOf } from "./headers.mjs";
import { DAY, later, SECOND, wholeSeconds } from "./instants.mjs";
import { refuse } from "./problems.mjs";

// Each standing of a record, as the names of rules spell it.
const NAMES = {
  "absent, or retention over": "absent",
  released: "released",
  "in flight, lease running": "in-flight",
  "in flight, lease over": "lease-over",
  unknown: "unknown",
  completed: "completed",
  forgotten: "forgotten",
};

// A record's clock never steps back.
const clock = (record, now) => (record === null ? now : later(now, record.seenAt));

export const recordExpiresAt = (record) => record.firstUsedAt + DAY;

/** Return what a record is now, and the rule. No rule is asked once its retention is over. */
export function recordStanding(record, now) {
  const instant = clock(record, now);
  if (record === null || instant >= recordExpiresAt(record)) {
    return { standing: "absent, or retention over", rule: null };
  }
  const { state, leaseUntil, lostLease } = record;
  if (state !== "IN_FLIGHT") {
    const name = state.toLowerCase();
    return { standing: name, rule: `record-standing.${name}` };
  }
  if (instant < leaseUntil) {
    return { standing: "in flight, lease running", rule: "record-standing.in-flight" };
  }
  if (lostLease === "unknown") return { standing: "unknown", rule: "record-standing.unknown" };
  return { standing: "in flight, lease over", rule: "record-standing.lease-over" };
}

const EXECUTES = ["released", "lease-over"];

/** Decide what a request with a key gets. */
export function begin(record, { fingerprint, now }) {
  const instant = clock(record, now);
  const name = NAMES[recordStanding(record, now).standing];
  const token = (record?.token ?? 0) + 1;
  if (name === "absent") {
    return { outcome: "execute", firstUsedAt: instant, token, rules: ["idempotency.absent"] };
  }
  if (!isDeepStrictEqual(record.fingerprint, fingerprint)) {
    const differs = record.fingerprint.operation === fingerprint.operation ? "values" : "operation";
    return refuse([`idempotency.${name}.other`], "IDEMPOTENCY_KEY_REUSED", { differs });
  }
  const rules = [`idempotency.${name}.same`];
  if (EXECUTES.includes(name)) {
    return { outcome: "execute", firstUsedAt: record.firstUsedAt, token, rules };
  }
  if (name === "in-flight") {
    const retryAfter = wholeSeconds(record.leaseUntil - instant);
    return refuse(rules, "IDEMPOTENCY_KEY_IN_FLIGHT", { retryAfter });
  }
  if (name === "unknown") return refuse(rules, "IDEMPOTENCY_OUTCOME_UNKNOWN");
  if (name === "forgotten") return refuse(rules, "IDEMPOTENCY_KEY_FORGOTTEN");
  const { status, headers, body } = record.response;
  const text = Buffer.from(body, "base64").toString("utf8");
  return { outcome: "replay", response: { status, headers, body: text }, rules };
}

const NEVER_KEPT = [
  "connection",
  "date",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "set-cookie",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
];

/** Return a response as a record stores it. Order and repetition of its headers are kept. */
export function stored({ status, headers, body }) {
  // A header that `Connection` names is about one hop, too.
  const named = valuesOf(headers, "connection").flatMap((value) => value.toLowerCase().split(","));
  const dropped = [...NEVER_KEPT, ...named.map((name) => name.trim())];
  const kept = headers.filter(([name]) => !dropped.includes(name.toLowerCase()));
  return { status, headers: kept, body: Buffer.from(body, "utf8").toString("base64") };
}

const DOES = {
  renew: (record, { instant, leaseSeconds }) => ({ leaseUntil: instant + BigInt(leaseSeconds) * SECOND }),
  complete: (record, { response }) => ended("COMPLETED", stored(response)),
  release: () => ended("RELEASED", null),
};

const ended = (state, response) => ({ state, leaseUntil: null, response });

/** Renew, complete or release. An attempt that lost its lease changes nothing. */
export function act(record, { act: name, attempt, now, ...given }) {
  const found = NAMES[recordStanding(record, now).standing];
  if (found !== "in-flight") return { outcome: "lease lost", rules: [`attempt.${found}`] };
  const { token, firstUsedAt, key } = record;
  if (!isDeepStrictEqual(attempt, { token, firstUsedAt, key })) {
    return { outcome: "lease lost", rules: ["attempt.in-flight.other"] };
  }
  const instant = clock(record, now);
  const changed = { ...record, ...DOES[name](record, { instant, ...given }), seenAt: instant };
  return { outcome: "done", record: changed, rules: [`attempt.${name}`] };
}

const UPKEEP = {
  "resolve with a response": ["resolve-answered", (response) => ended("COMPLETED", stored(response))],
  "resolve as not executed": ["resolve-nothing", () => ended("RELEASED", null)],
  forget: ["forget", () => ended("FORGOTTEN", null)],
};
const RESOLVABLE = ["lease-over", "unknown"];

/** Resolve or forget a record without holding it. */
export function upkeep(record, { act: name, response, now }) {
  const found = NAMES[recordStanding(record, now).standing];
  const [short, change] = UPKEEP[name];
  const rules = [`record-upkeep.${short}.${found}`];
  const moves = short === "forget" ? !["absent", "forgotten"].includes(found) : RESOLVABLE.includes(found);
  if (!moves) return { outcome: "ignored", rules };
  const changed = { ...record, ...change(response), seenAt: clock(record, now) };
  return { outcome: "done", record: changed, rules };
}

/** Return the record of a request that was answered at once, without its fingerprint and response. */
export function completed({ token, firstUsedAt }, { key, now }) {
  return { key, token, firstUsedAt, seenAt: now, leaseUntil: null, lostLease: "execute", state: "COMPLETED" };
}
