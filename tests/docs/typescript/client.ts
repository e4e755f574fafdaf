// A client that knows what to do with every problem of a reconnect and of an initiate.

import type { operations } from "./api.js";
import { type Problem, type Success, unreachable } from "./problems.js";

type Next =
  | { do: "show"; url: string; until: string }
  | { do: "try again"; afterSeconds: number }
  | { do: "go on with"; connectionId: string }
  | { do: "tell the developer"; why: string };

type Headers = operations["reconnect"]["parameters"]["header"];

export async function reconnect(
  base: string,
  apiKey: string,
  connectionId: string,
  headers: Headers,
): Promise<Next> {
  const response = await fetch(`${base}/api/sdk/v1/connections/${connectionId}:reconnect`, {
    method: "POST",
    headers: { ...headers, Authorization: `Bearer ${apiKey}` },
  });
  if (response.status === 201) {
    const { nextAction } = (await response.json()) as Success<"reconnect">;
    return { do: "show", url: nextAction.url, until: nextAction.expiresAt };
  }
  return afterReconnect((await response.json()) as Problem<"reconnect">);
}

export function afterReconnect(problem: Problem<"reconnect">): Next {
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
      return { do: "tell the developer", why: problem.detail };
    case "CONNECTION_NOT_RECONNECTABLE":
      return { do: "go on with", connectionId: problem.details.connectionId };
    case "CONNECTION_SUPERSEDED":
      return { do: "go on with", connectionId: problem.details.nextConnectionId };
    case "IDEMPOTENCY_KEY_IN_FLIGHT":
    case "RATE_LIMITED":
      return { do: "try again", afterSeconds: problem.details.retryAfter };
    case "INTERNAL":
      return { do: "try again", afterSeconds: 1 };
    default:
      return unreachable(problem);
  }
}

export function afterInitiate(answer: Success<"initiate"> | Problem<"initiate">): Next {
  if ("session" in answer) {
    const { url, expiresAt } = answer.nextAction;
    return { do: "show", url, until: expiresAt };
  }
  switch (answer.code) {
    case "BAD_REQUEST":
    case "IDEMPOTENCY_KEY_REQUIRED":
    case "IDEMPOTENCY_KEY_INVALID":
    case "IDEMPOTENCY_KEY_REUSED":
    case "IDEMPOTENCY_KEY_FORGOTTEN":
    case "IDEMPOTENCY_OUTCOME_UNKNOWN":
    case "UNAUTHENTICATED":
    case "SCOPE_INSUFFICIENT":
    case "WRONG_ENVIRONMENT":
      return { do: "tell the developer", why: answer.detail };
    case "IDEMPOTENCY_KEY_IN_FLIGHT":
    case "RATE_LIMITED":
      return { do: "try again", afterSeconds: answer.details.retryAfter };
    case "INTERNAL":
      return { do: "try again", afterSeconds: 1 };
    default:
      return unreachable(answer);
  }
}
