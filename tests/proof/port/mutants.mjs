// Change one operator, constant or condition of the port at a time, and count what the vectors catch.
// `node mutants.mjs FOLDER [SIZE SEED]` prints each survivor as a JSON line, then the counts. SIZE and SEED
// draw a sample. `node mutants.mjs --list` prints all mutants instead.

import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const PORT = dirname(fileURLToPath(import.meta.url));
const NOT_MUTATED = ["answers.mjs", "mutants.mjs", "vectors.mjs"];
const PATIENCE = 20_000;

// Each kind of code that is changed: what is found, and what is put in its place.
const SWAPS = {
  "===": ["!=="],
  "!==": ["==="],
  ">=": [">", "<"],
  "<=": ["<", ">"],
  ">": [">=", "<"],
  "<": ["<=", ">"],
  "&&": ["||"],
  "||": ["&&"],
  "??": ["&&"],
  "+": ["-"],
  "-": ["+"],
  "*": ["/"],
  "/": ["*"],
  "%": ["*"],
  "!": [""],
  true: ["false"],
  false: ["true"],
  later: ["earlier"],
  earlier: ["later"],
  earliest: ["latest"],
  latest: ["earliest"],
  max: ["min"],
  find: ["findLast"],
  every: ["some"],
  some: ["every"],
};

// Pieces of code, the first that fits: comments, regular expressions, texts, numbers, words, operators.
const PIECES = [
  ["comment", /\/\/.*|\/\*[^]*?\*\//y],
  ["regex", /(?<=(?:[(=,:[]|return)\s*)\/(?:[^/\\\n[]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/[a-z]*/y],
  ["text", /"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'/y],
  ["template", /`(?:[^`\\]|\\.)*`/y],
  ["number", /\b[0-9][0-9_]*n?\b/y],
  ["word", /[A-Za-z_$][\w$]*/y],
  ["operator", /===|!==|=>|>=|<=|&&|\|\||\?\?|\+=|\.\.\.|[-+*/%<>!]/y],
  ["other", /[^]/y],
];

const KINDS = { regex: "syntax", text: "text", number: "number", word: "operator", operator: "operator" };

function* pieces(source) {
  let at = 0;
  while (at < source.length) {
    for (const [kind, pattern] of PIECES) {
      pattern.lastIndex = at;
      const found = pattern.exec(source);
      if (found === null) continue;
      yield { kind, text: found[0], at };
      at += found[0].length;
      break;
    }
  }
}

// Each number in braces, each anchor and each flag of a regular expression.
function* regexChanges(text) {
  for (const found of text.matchAll(/(?<=[{,])\d+(?=[,}])|\^(?!\])|\$(?=[/|)])|(?<=\/)i$|\+|\*/g)) {
    const [from] = found;
    if (from === "^" && text[found.index - 1] === "[") continue;
    const others = { "^": [""], $: [""], i: [""], "+": ["*"], "*": ["+"] };
    for (const to of others[from] ?? [String(Number(from) + 1)]) {
      yield text.slice(0, found.index) + to + text.slice(found.index + from.length);
    }
  }
}

function* changesOf({ kind, text }) {
  if (kind === "regex") yield* regexChanges(text);
  if (kind === "text" && text.length > 2) yield `${text[0]}?${text.slice(1)}`;
  if (kind === "number") {
    const [, digits, big] = /^([0-9_]+)(n?)$/.exec(text);
    const number = Number(digits.replaceAll("_", ""));
    yield `${number + 1}${big}`;
    if (number > 0) yield `${number - 1}${big}`;
  }
  if (kind === "word" || kind === "operator") yield* Object.hasOwn(SWAPS, text) ? SWAPS[text] : [];
}

// The end of a condition that starts after a parenthesis.
function closing(source, from) {
  let depth = 1;
  for (const piece of pieces(source.slice(from))) {
    if (piece.text === "(") depth += 1;
    if (piece.text === ")") depth -= 1;
    if (depth === 0) return from + piece.at;
  }
  throw new Error("a condition without an end");
}

/** List all mutants of one file. */
function mutantsOf(file) {
  const source = readFileSync(join(PORT, file), "utf8");
  const found = [];
  const add = (kind, { at, text: from }, to) => {
    const start = source.lastIndexOf("\n", at) + 1;
    const code = source.slice(start, source.indexOf("\n", at));
    if (code.startsWith("import ") || code.includes("super(") || code.includes("new SyntaxError(")) return;
    const line = `${code.slice(0, at - start)}⟦${from} → ${to}⟧${code.slice(at - start + from.length)}`.trim();
    found.push({ file, kind, mutant: line, source: source.slice(0, at) + to + source.slice(at + from.length) });
  };
  for (const piece of pieces(source)) {
    for (const to of changesOf(piece)) add(KINDS[piece.kind], piece, to);
    if (piece.text === "if" && piece.kind === "word") {
      const from = source.indexOf("(", piece.at) + 1;
      const condition = source.slice(from, closing(source, from));
      if (!condition.includes("\n")) for (const to of ["true", "false"]) add("condition", { at: from, text: condition }, to);
    }
  }
  return found;
}

// A generator of numbers from 0 to 1 that gives the same ones for the same seed.
function random(seed) {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

function sample(all, size, seed) {
  const next = random(seed);
  const ordered = all.map((mutant) => [next(), mutant]).sort(([one], [other]) => one - other);
  return ordered.slice(0, size).map(([, mutant]) => mutant);
}

/** Run the vectors on one mutant: "caught", "survived", or "broken" where it is no program. */
function judge({ file, source }, { copy, folder }) {
  const path = join(copy, file);
  const original = readFileSync(path, "utf8");
  writeFileSync(path, source);
  const command = [join(copy, "vectors.mjs"), folder, "first"];
  const done = spawnSync(process.execPath, command, { encoding: "utf8", timeout: PATIENCE });
  writeFileSync(path, original);
  if (done.status === 0) return "survived";
  return done.stdout === "" && done.signal === null ? "broken" : "caught";
}

const [folder, size, seed] = process.argv.slice(2);
const files = readdirSync(PORT).filter((file) => file.endsWith(".mjs") && !NOT_MUTATED.includes(file));
const all = files.flatMap(mutantsOf);
if (folder === "--list") {
  for (const { file, mutant } of all) console.log(JSON.stringify({ file, mutant }));
} else {
  const copy = mkdtempSync(join(tmpdir(), "port-"));
  const counts = {};
  try {
    cpSync(PORT, copy, { recursive: true });
    for (const mutant of size === undefined ? all : sample(all, Number(size), Number(seed))) {
      const verdict = judge(mutant, { copy, folder });
      counts[mutant.kind] ??= { caught: 0, survived: 0, broken: 0 };
      counts[mutant.kind][verdict] += 1;
      if (verdict === "survived") console.log(JSON.stringify({ file: mutant.file, mutant: mutant.mutant }));
    }
  } finally {
    rmSync(copy, { recursive: true });
  }
  console.log(JSON.stringify(counts));
}
