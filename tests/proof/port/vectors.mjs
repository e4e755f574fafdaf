// Run the port on all vectors: `node vectors.mjs FOLDER`. It prints each difference as a JSON line,
// then how many cases each document has.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { isDeepStrictEqual } from "node:util";
import { DOCUMENTS } from "./answers.mjs";
import { formatTime, parseTime } from "./instants.mjs";
import { Mistake } from "./problems.mjs";

const VERSION = 1;

// Members of stored values that hold a time. Wire documents and texts are left to the port.
const TIMES = [
  ...["now", "happenedAt", "createdAt", "updatedAt", "authorizedAt", "expiresAt", "revokedAt", "handoffDeadline"],
  ...["era", "tombstonedAt", "tombstoneReportedAt", "landedAt", "nextActionExpiresAt"],
  ...["firstUsedAt", "seenAt", "leaseUntil"],
];
const TEXTS = ["document", "values", "body", "value"];

function timesRead(value, name = null) {
  if (TEXTS.includes(name)) return value;
  if (TIMES.includes(name) && typeof value === "string") return parseTime(value);
  if (Array.isArray(value)) return value.map((item) => timesRead(item));
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, timesRead(part, key)]));
}

function timesWritten(value) {
  if (typeof value === "bigint") return formatTime(value);
  if (Array.isArray(value)) return value.map(timesWritten);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, timesWritten(part)]));
}

function run(name, input) {
  try {
    return DOCUMENTS[name](timesRead(input));
  } catch (error) {
    if (!(error instanceof Mistake)) throw error;
    return { answer: { outcome: "error", ...error.details }, rule: null };
  }
}

// Fingerprints of the vectors are opaque: two of them are equal where the port's are, and only there.
const ours = new Map();
const theirs = new Map();

function sameFingerprint(given, wanted) {
  const [one, other] = [given, wanted].map(({ operation, values }) => `${operation} ${values}`);
  if (!theirs.has(one) && !ours.has(other)) {
    theirs.set(one, wanted.values);
    ours.set(other, given.values);
  }
  return theirs.get(one) === wanted.values && ours.get(other) === given.values;
}

// A stored record holds a fingerprint of the vectors: put the port's in its place.
function withOurFingerprint(input) {
  const record = input.stored?.record ?? null;
  if (record === null) return input;
  const { operation, values } = record.fingerprint;
  const fingerprint = { operation, values: ours.get(`${operation} ${values}`) };
  return { ...input, stored: { ...input.stored, record: { ...record, fingerprint } } };
}

// All changes are committed together, so their order means nothing.
function unordered(answer) {
  if (answer.changes === undefined) return answer;
  const inOrder = (values) => [...values].sort((one, other) => (canonical(one) < canonical(other) ? -1 : 1));
  const changes = Object.entries(answer.changes).map(([kind, values]) => [kind, inOrder(values)]);
  return { ...answer, changes: Object.fromEntries(changes) };
}

function canonical(value) {
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(canonical)}]`;
  return `{${Object.keys(value).sort().map((key) => `${key}:${canonical(value[key])}`)}}`;
}

// Shape an answer as the vectors do: problems without their sentences, fingerprints as theirs.
function compare(name, { input, answer, rule }) {
  const found = run(name, withOurFingerprint(input));
  const given = timesWritten(found.answer);
  if (answer.values !== undefined && given.values !== undefined) {
    if (sameFingerprint(given, answer)) given.values = answer.values;
  }
  const equal = isDeepStrictEqual(unordered(given), unordered(answer)) && found.rule === rule;
  return equal ? null : { answer: given, rule: found.rule, wanted: answer, wantedRule: rule };
}

/** Read the documents of a folder. A document or a version that is not known is an error. */
export function load(folder) {
  const files = readdirSync(folder).filter((file) => file.endsWith(".json"));
  const texts = files.map((file) => readFileSync(join(folder, file), "utf8"));
  // Short documents first, so that a mutant is caught soon.
  texts.sort((one, other) => one.length - other.length);
  const documents = texts.map((text) => JSON.parse(text));
  for (const { name, version } of documents) {
    const known = version === VERSION && Object.hasOwn(DOCUMENTS, name);
    if (!known) throw new Error(`unknown document ${name} ${version}`);
  }
  // These two are first, because they show the fingerprints that stored records hold.
  const isFirst = ({ name }) => name === "request-body" || name === "request-target";
  return [...documents.filter(isFirst), ...documents.filter((document) => !isFirst(document))];
}

/** Yield each case whose answer or rule is another one than the port's. */
export function* differences(documents) {
  for (const { name, cases } of documents) {
    for (const one of cases) {
      let difference;
      try {
        difference = compare(name, one);
      } catch (error) {
        difference = { raised: String(error.stack).split("\n").slice(0, 3) };
      }
      if (difference !== null) yield { id: one.id, ...difference };
    }
  }
}

function main(folder) {
  const documents = load(folder);
  for (const difference of differences(documents)) {
    console.log(JSON.stringify(difference));
    process.exitCode = 1;
  }
  console.log(JSON.stringify(Object.fromEntries(documents.map(({ name, cases }) => [name, cases.length]))));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) main(process.argv[2]);
