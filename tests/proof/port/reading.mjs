// A request's target and body: which operation it is, and its validated values.

import { Members, parseJson } from "./json.mjs";
import { Mistake, refuse } from "./problems.mjs";
import { readAppUserId, readDataPackages, readUuid } from "./text.mjs";
import { readMember } from "./wire.mjs";

const BASE = "/api/sdk/v1/";
const LONGEST_BODY = 65536;

function readFlag(value) {
  if (typeof value !== "boolean") throw new Mistake({});
  return value;
}

const USER = ["appUserId", readAppUserId];
const WRITE = { scope: "connection:write", key: "needed", limit: null };
const READ = { scope: null, key: "not looked at", limit: null };

// Each operation: its path and method, what it needs, its status of success, and what it reads.
export const OPERATIONS = {
  "create-connection": {
    ...WRITE,
    method: "POST",
    path: "connections",
    status: 201,
    body: [USER, ["dataPackages", readDataPackages]],
  },
  "get-connection": { ...READ, method: "GET", path: "connections/{id}", status: 200 },
  reconnect: { ...WRITE, method: "POST", path: "connections/{id}:reconnect", status: 201, body: [] },
  revoke: { ...WRITE, method: "POST", path: "connections/{id}:revoke", status: 200, body: [] },
  initiate: {
    ...WRITE,
    method: "POST",
    path: "curae-connect/initiate",
    status: 201,
    limit: "initiate",
    body: [USER, ["preferSignup", readFlag, false]],
  },
  "account-state": { ...READ, method: "GET", path: "curae-connect/account-state", status: 200, query: [USER] },
  "graduation-handoff": {
    ...WRITE,
    key: "not allowed",
    method: "POST",
    path: "curae-connect/graduation-handoff",
    status: 201,
    limit: "graduation",
    body: [USER],
  },
};

/** Return the operation's name and the id of its path, or null. The id is not read yet. */
export function route(method, target) {
  const [path] = target.split("?", 1);
  if (!path.startsWith(BASE)) return null;
  const rest = path.slice(BASE.length);
  const found = /^connections\/([^/:]+)((?::.*)?)$/.exec(rest);
  const shape = found === null ? rest : `connections/{id}${found[2]}`;
  for (const [name, operation] of Object.entries(OPERATIONS)) {
    if (operation.method === method && operation.path === shape) {
      return { name, id: found === null ? null : found[1] };
    }
  }
  return null;
}

function fail(fault, member = null) {
  throw new Mistake({ member, fault });
}

// Parse a body to its members. Operations without members take an empty body.
function parseBody(text, names) {
  if (text === "" && names.length === 0) return [];
  if (Buffer.byteLength(text, "utf8") > LONGEST_BODY) fail("NOT_JSON");
  let value;
  try {
    value = parseJson(text);
  } catch (error) {
    if (error instanceof SyntaxError) fail("NOT_JSON");
    throw error;
  }
  if (!(value instanceof Members)) fail("NOT_AN_OBJECT");
  return value.pairs;
}

function readBody(text, wanted) {
  const names = wanted.map(([name]) => name);
  const pairs = parseBody(text, names);
  const given = pairs.map(([name]) => name);
  const repeated = given.find((name, place) => given.indexOf(name) < place);
  if (repeated !== undefined) fail("REPEATED", names.includes(repeated) ? repeated : null);
  if (!given.every((name) => names.includes(name))) fail("UNKNOWN");
  const members = new Map(pairs);
  return wanted.map(([member, read, absent]) => {
    if (!members.has(member) && absent !== undefined) return [member, absent];
    return [member, readMember(members.get(member), { member, read, optional: false })];
  });
}

// Decode a part of a query. Bytes that are not UTF-8 give null, and so do unencoded characters beyond ASCII.
function decode(part) {
  if (/[^\x00-\x7f]/.test(part)) return null;
  const bytes = [];
  for (const [piece] of part.replaceAll("+", " ").matchAll(/%[0-9a-fA-F]{2}|[^%]+|%/g)) {
    const escaped = /^%[0-9a-fA-F]{2}$/.test(piece);
    bytes.push(...(escaped ? [Number.parseInt(piece.slice(1), 16)] : Buffer.from(piece, "utf8")));
  }
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(Uint8Array.from(bytes));
  } catch {
    return null;
  }
}

function readQuery(target, wanted) {
  const mark = target.indexOf("?");
  const parts = mark < 0 ? [] : target.slice(mark + 1).split("&");
  const pairs = parts.map((part) => {
    const [name] = part.split("=", 1);
    return [decode(name), decode(part.slice(name.length + 1))];
  });
  return wanted.map(([member, read]) => {
    const values = pairs.filter(([name]) => name === member).map(([, value]) => value);
    if (values.length > 1) fail("REPEATED", member);
    if (values.length === 0) fail("MISSING", member);
    return [member, readMember(values[0] ?? "", { member, read, optional: false })];
  });
}

/** Read a request's values, or refuse with the first fault: the body, the query, the path's id. */
export function readValues(found, { target, body }) {
  const { body: members = null, query = [] } = OPERATIONS[found.name];
  try {
    const values = members === null ? [] : readBody(body ?? "", members);
    values.push(...readQuery(target, query));
    if (found.id !== null) {
      const given = { member: "connectionId", read: readUuid, optional: false };
      values.push(["connectionId", readMember(found.id, given)]);
    }
    return { outcome: "done", operation: found.name, values: Object.fromEntries(values) };
  } catch (error) {
    if (!(error instanceof Mistake)) throw error;
    return refuse(["request.body"], "BAD_REQUEST", error.details);
  }
}

/** Return the fingerprint of a parsed operation. Members are in the order of the operation. */
export function fingerprint({ operation, values }) {
  return { operation, values: JSON.stringify(values) };
}
