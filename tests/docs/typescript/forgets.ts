// Wrong on purpose, so that it must not compile: it forgets CONNECTION_SUPERSEDED.

import { type Problem, unreachable } from "./problems.js";

export function mayReconnectLater(problem: Problem<"reconnect">): boolean {
  switch (problem.code) {
    case "BAD_REQUEST":
    case "IDEMPOTENCY_KEY_REQUIRED":
    case "IDEMPOTENCY_KEY_INVALID":
    case "IDEMPOTENCY_KEY_REUSED":
    case "IDEMPOTENCY_KEY_FORGOTTEN":
    case "IDEMPOTENCY_OUTCOME_UNKNOWN":
    case "UNAUTHENTICATED":
    case "SCOPE_INSUFFICIENT":
    case "WRONG_ENVIRONMENT":
    case "NOT_FOUND":
    case "CONNECTION_NOT_RECONNECTABLE":
      return false;
    case "IDEMPOTENCY_KEY_IN_FLIGHT":
    case "RATE_LIMITED":
    case "INTERNAL":
      return true;
    default:
      return unreachable(problem);
  }
}
