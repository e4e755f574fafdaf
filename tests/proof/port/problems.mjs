// Problems: what each code means, its HTTP status and its document; and the caller's mistakes.

/** An argument that no correct caller passes. */
export class Mistake extends Error {
  constructor(details) {
    super(JSON.stringify(details));
    this.details = details;
  }
}

// Each kind of problem: its HTTP status, and whether a final answer of it is kept under its key.
export const KINDS = {
  invalid: [400, false],
  "unknown caller": [401, false],
  forbidden: [403, false],
  absent: [404, true],
  conflict: [409, true],
  mismatch: [422, false],
  limited: [429, false],
  failed: [500, false],
};

const CONFLICT_OF_BINDING = ["conflict", ["lifecycleState"]];

// Each code: its kind and the keys of its details.
export const CODES = {
  BAD_REQUEST: ["invalid", ["member", "fault"]],
  IDEMPOTENCY_KEY_REQUIRED: ["invalid", []],
  IDEMPOTENCY_KEY_INVALID: ["invalid", []],
  IDEMPOTENCY_KEY_NOT_ALLOWED: ["invalid", []],
  UNAUTHENTICATED: ["unknown caller", []],
  SCOPE_INSUFFICIENT: ["forbidden", ["scope"]],
  WRONG_ENVIRONMENT: ["forbidden", ["environment"]],
  CONNECTION_ACCESS_DENIED: ["forbidden", ["connectionId", "dataPackage", "reason"]],
  NOT_FOUND: ["absent", []],
  CONNECTION_NOT_RECONNECTABLE: ["conflict", ["connectionId", "reason"]],
  CONNECTION_SUPERSEDED: ["conflict", ["connectionId", "nextConnectionId", "headConnectionId"]],
  CONNECTION_NOT_PENDING: ["conflict", ["connectionId", "standing"]],
  HANDOFF_LAPSED: ["conflict", ["connectionId", "deadline"]],
  SESSION_EXPIRED: ["conflict", ["sessionId", "expiresAt"]],
  HANDOFF_NOT_REQUIRED: ["conflict", ["sessionId", "path"]],
  BINDING_CHANGED: CONFLICT_OF_BINDING,
  BINDING_CONFLICT: CONFLICT_OF_BINDING,
  BINDING_NOT_LIMITED: CONFLICT_OF_BINDING,
  IDEMPOTENCY_KEY_IN_FLIGHT: ["conflict", ["retryAfter"]],
  IDEMPOTENCY_OUTCOME_UNKNOWN: ["conflict", []],
  IDEMPOTENCY_KEY_FORGOTTEN: ["conflict", []],
  IDEMPOTENCY_KEY_REUSED: ["mismatch", ["differs"]],
  RATE_LIMITED: ["limited", ["policy", "retryAfter"]],
  INTERNAL: ["failed", []],
};

const RETRYABLE = ["IDEMPOTENCY_KEY_IN_FLIGHT", "RATE_LIMITED", "INTERNAL"];
const TYPE_BASE = "https://curaeai.com/problems/";

/** Return a problem as a rule gives it. */
export function problem(code, details = {}) {
  const [kind, keys] = CODES[code];
  const given = Object.keys(details);
  if (given.length !== keys.length || !keys.every((key) => given.includes(key))) {
    throw new Mistake({ argument: "details" });
  }
  return { code, details, retryable: RETRYABLE.includes(code), status: KINDS[kind][0] };
}

/** Refuse with a problem. The rules are the trail, the last one decided. */
export function refuse(rules, code, details) {
  return { outcome: "refused", problem: problem(code, details), rules };
}

/** Return the document of a problem, without its two sentences for people. */
export function problemDocument(given, { instance = null, typeBase = TYPE_BASE } = {}) {
  const type = typeBase + given.code.toLowerCase().replaceAll("_", "-");
  const document = { type, ...given };
  if (instance !== null && given.status !== 404) document.instance = instance;
  return document;
}

/** Return the name of a code's rule. Most are the code in kebab case; some drop a word. */
export function problemRule(code) {
  const short = code.replace(/^IDEMPOTENCY_(?=KEY_|OUTCOME_)/, "");
  return `problem.${short.toLowerCase().replaceAll("_", "-")}`;
}

/** Say whether a response is kept: the rule itself reached it. No operation gives a 409 that may pass. */
export function isKept(status) {
  return (status >= 200 && status < 300) || status === 404 || status === 409;
}
