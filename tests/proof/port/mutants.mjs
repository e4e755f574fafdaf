// Change one operator, constant or condition of the port at a time, and count what the vectors catch.
// `node mutants.mjs FOLDER [SIZE SEED]` prints each survivor as a JSON line, then the counts. SIZE and SEED
// draw a sample; `listed` in place of SIZE takes those of survivors.json. `node mutants.mjs --list` prints all.

import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { load } from "./vectors.mjs";

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
  ["regex", /(?<=(?:[(=,:[!]|return)\s*)\/(?:[^/\\\n[]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/[a-z]*/y],
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
async function judge({ file, source }, { folder, documents }) {
  const copy = join(folder, `${file}-${judged++}`);
  cpSync(PORT, copy, { recursive: true });
  writeFileSync(join(copy, file), source);
  let mutated;
  try {
    mutated = await import(pathToFileURL(join(copy, "vectors.mjs")));
  } catch {
    return "broken";
  }
  return mutated.differences(documents).next().done ? "survived" : "caught";
}

let judged = 0;

// A worker judges one mutant after the other, and says so after each.
async function work({ vectors, folder, mutants }) {
  const documents = load(vectors);
  for (const mutant of mutants) parentPort.postMessage(await judge(mutant, { folder, documents }));
}

// Start a worker, and another one where a mutant never ends: that is a difference too.
async function verdictsOf(mutants, { vectors, folder }) {
  const verdicts = [];
  while (verdicts.length < mutants.length) {
    const rest = mutants.slice(verdicts.length);
    const worker = new Worker(fileURLToPath(import.meta.url), { workerData: { vectors, folder, mutants: rest } });
    await new Promise((resolve, reject) => {
      const stop = () => {
        verdicts.push("caught");
        resolve(worker.terminate());
      };
      let timer = setTimeout(stop, PATIENCE);
      worker.on("message", (verdict) => {
        verdicts.push(verdict);
        clearTimeout(timer);
        timer = setTimeout(stop, PATIENCE);
      });
      worker.on("error", reject);
      worker.on("exit", () => {
        clearTimeout(timer);
        resolve();
      });
    });
  }
  return verdicts;
}

function chosen(all, size, seed) {
  if (size === undefined) return all;
  if (size !== "listed") return sample(all, Number(size), Number(seed));
  const listed = JSON.parse(readFileSync(join(PORT, "survivors.json"), "utf8"));
  const isListed = ({ file, mutant }) => listed.some((each) => each.file === file && each.mutant === mutant);
  return all.filter(isListed);
}

async function main([vectors, size, seed]) {
  const files = readdirSync(PORT).filter((file) => file.endsWith(".mjs") && !NOT_MUTATED.includes(file));
  const all = files.flatMap(mutantsOf);
  const mutants = chosen(all, size, seed);
  if (vectors === "--list") {
    for (const { file, mutant } of all) console.log(JSON.stringify({ file, mutant }));
    return;
  }
  const folder = mkdtempSync(join(tmpdir(), "port-"));
  const counts = {};
  try {
    const verdicts = await verdictsOf(mutants, { vectors, folder });
    mutants.forEach(({ file, kind, mutant }, place) => {
      counts[kind] ??= { caught: 0, survived: 0, broken: 0 };
      counts[kind][verdicts[place]] += 1;
      if (verdicts[place] === "survived") console.log(JSON.stringify({ file, mutant }));
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
  console.log(JSON.stringify(counts));
}

await (isMainThread ? main(process.argv.slice(2)) : work(workerData));
