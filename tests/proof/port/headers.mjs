// Header fields of a request: the API key, the idempotency key and entity tags.

import { refuse } from "./problems.mjs";

const KEY = /^[\x21-\x7e]{1,255}$/;
const TAG = /^[ \t]*(?:W\/)?("[\x21\x23-\x7e\x80-\xff]*")[ \t]*$/;

const trim = (value) => value.replace(/^[ \t]+|[ \t]+$/g, "");

/** Return the values of a header. Names ignore case. */
export function valuesOf(headers, name) {
  return headers.filter(([given]) => given.toLowerCase() === name).map(([, value]) => value);
}

/** Return the API key of exactly one bearer header, or null. */
export function readApiKey(values) {
  if (values.length !== 1) return null;
  return /^bearer +([\x21-\x7e]+)$/i.exec(trim(values[0]))?.[1] ?? null;
}

/** Return a quoted text without its quotes and escapes, or null if it is not one. */
function unquote(text) {
  if (!/^"(?:[^"\\]|\\["\\])*"$/.test(text)) return null;
  return text.slice(1, -1).replace(/\\(["\\])/g, "$1");
}

/** Read the idempotency key: one header, bare or quoted. */
export function readIdempotencyKey(values) {
  if (values.length === 0) return refuse(["request.key-required"], "IDEMPOTENCY_KEY_REQUIRED");
  const text = trim(values[0]);
  const key = text.startsWith('"') ? unquote(text) : text;
  if (values.length > 1 || key === null || !KEY.test(key)) {
    return refuse(["request.key-invalid"], "IDEMPOTENCY_KEY_INVALID");
  }
  return { outcome: "done", key };
}

/** Say whether If-None-Match names an entity tag. A broken list names none. */
export function matches(values, etag) {
  const list = values.join(",");
  if (trim(list) === "*") return true;
  // A comma inside quotes belongs to its tag.
  const members = (list.match(/(?:"[^"]*"|[^,"])+|"/g) ?? []).filter((member) => trim(member) !== "");
  const tags = members.map((member) => TAG.exec(member)?.[1]);
  return !tags.includes(undefined) && tags.includes(etag);
}
