// What an operation can be answered, read off the definitions that are generated from
// docs/openapi.json.

import type { operations } from "./api.js";

/** The bodies of an operation's answers, of those statuses that have one. */
type Bodies<Name extends keyof operations, Media extends string> = {
  [Status in keyof operations[Name]["responses"]]: operations[Name]["responses"][Status] extends {
    content: { [each in Media]: infer Body };
  }
    ? Body
    : never;
}[keyof operations[Name]["responses"]];

/** Every problem of an operation, told apart by its code. */
export type Problem<Name extends keyof operations> = Bodies<Name, "application/problem+json">;

/** What an operation answers when it is done. */
export type Success<Name extends keyof operations> = Bodies<Name, "application/json">;

/** Is not called: a switch that forgets a code does not compile. */
export function unreachable(forgotten: never): never {
  throw new Error(`no such code: ${JSON.stringify(forgotten)}`);
}
