// Facts that may name the hosted page that they come from. A page that was replaced cannot act.

import { isDeepStrictEqual } from "node:util";
import { completeHandoff, eraOf, graduate } from "./bindings.mjs";
import { revokeChain } from "./chains.mjs";
import { authorize, expire, requireAction } from "./connection.mjs";
import { refuse } from "./problems.mjs";

// Each fact: from what is stored, and the fact's own members with the clock, to an answer.
const FACTS = {
  "connection.authorize": ({ connection }, given) => authorize(connection, { ...given, successor: null, head: null }),
  "connection.require_action": ({ connection }, given) => requireAction(connection, given),
  "connection.expire": ({ connection }, given) => expire(connection, given),
  "connection.revoke": ({ connection }, given) => revokeOne(connection, given),
  "handoff.complete": ({ session, binding }, given) => completeHandoff(session, { ...given, binding }),
  "binding.graduate": ({ binding }, given) => graduate(binding, given),
};

function revokeOne(connection, given) {
  const [answer] = revokeChain(connection, { ...given, following: [] }).answers;
  return answer;
}

// Say what the page of a fact must lead to. A user is the one that the fact names, at its coordinate.
function subjectOf({ type, connectionId, sessionId, userId, customerAccountId, appId, appUserId, environment }) {
  if (type === "handoff.complete") return { kind: "session", subject: sessionId };
  if (type !== "binding.graduate") return { kind: "connection", subject: connectionId };
  const coordinate = { customerAccountId, appId, appUserId, environment };
  return { kind: "user", subject: { coordinate, userId } };
}

/** Record a fact. The page that it names must lead to its subject; such a page moves when the fact is done. */
export function recordFact({ fact, pages, now, ...stored }) {
  const wanted = subjectOf(fact);
  const named = pages.filter(({ url }) => url === fact.pageUrl);
  const live = named.some(({ kind, subject }) => isDeepStrictEqual({ kind, subject }, wanted));
  // A page that leads elsewhere, or nowhere, is as good as unknown.
  if (fact.pageUrl !== undefined && !live) return refuse(["request.ownership"], "NOT_FOUND");
  const absent = { happenedAt: null, expiresAt: null };
  const answer = FACTS[fact.type](stored, { ...absent, ...fact, now, era: eraOf(stored.binding) });
  if (answer.outcome !== "done") return answer;
  const moved = named.map((page) => ({ ...page, version: page.version + 1 }));
  return { connection: null, session: null, binding: null, pages: moved, ...answer };
}
