// A strict parser of JSON. It keeps the members of an object as pairs, so repeated ones are seen.

const DEEPEST = 256;
const MOST_DIGITS = 4300;
const NUMBER = /-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?/y;
const PLAIN = /[^"\\\u0000-\u001f]*/y;
const ESCAPES = { '"': '"', "\\": "\\", "/": "/", b: "\b", f: "\f", n: "\n", r: "\r", t: "\t" };
const WORDS = { true: true, false: false, null: null };

/** A JSON object as a list of [name, value]. */
export class Members {
  constructor(pairs) {
    this.pairs = pairs;
  }
}

/** Parse a text, or raise a SyntaxError. */
export function parseJson(text) {
  const parser = new Parser(text);
  const value = parser.value(0);
  parser.space();
  if (parser.at !== text.length) parser.fail();
  return value;
}

class Parser {
  constructor(text) {
    this.text = text;
    this.at = 0;
  }

  fail() {
    throw new SyntaxError(`not JSON at ${this.at}`);
  }

  space() {
    while (" \t\n\r".includes(this.text[this.at] ?? "x")) this.at += 1;
  }

  // Take a character if it is next, after white space.
  take(character) {
    this.space();
    const found = this.text[this.at] === character;
    if (found) this.at += 1;
    return found;
  }

  expect(character) {
    if (!this.take(character)) this.fail();
  }

  match(pattern) {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.text);
    if (found === null) this.fail();
    this.at = pattern.lastIndex;
    return found;
  }

  value(depth) {
    this.space();
    const next = this.text[this.at];
    if (next === "{" || next === "[") {
      if (depth === DEEPEST) this.fail();
      return next === "{" ? this.members(depth + 1) : this.items(depth + 1);
    }
    if (next === '"') return this.string();
    for (const [word, value] of Object.entries(WORDS)) {
      if (this.text.startsWith(word, this.at)) {
        this.at += word.length;
        return value;
      }
    }
    return this.number();
  }

  number() {
    const [digits, fraction, exponent] = this.match(NUMBER);
    if (fraction === undefined && exponent === undefined) {
      if (digits.replace("-", "").length > MOST_DIGITS) this.fail();
    } else if (!Number.isFinite(Number(digits))) {
      this.fail();
    }
    return Number(digits);
  }

  string() {
    this.at += 1;
    let read = "";
    for (;;) {
      read += this.match(PLAIN)[0];
      const next = this.text[this.at];
      this.at += 1;
      if (next === '"') return read;
      if (next !== "\\") this.fail();
      read += this.escape();
    }
  }

  escape() {
    const letter = this.text[this.at];
    this.at += 1;
    if (letter === "u") return String.fromCharCode(Number.parseInt(this.match(/[0-9a-fA-F]{4}/y)[0], 16));
    if (letter === undefined || !Object.hasOwn(ESCAPES, letter)) this.fail();
    return ESCAPES[letter];
  }

  items(depth) {
    const items = [];
    this.at += 1;
    if (this.take("]")) return items;
    do items.push(this.value(depth));
    while (this.take(","));
    this.expect("]");
    return items;
  }

  members(depth) {
    const pairs = [];
    this.at += 1;
    if (this.take("}")) return new Members(pairs);
    do {
      this.space();
      if (this.text[this.at] !== '"') this.fail();
      const name = this.string();
      this.expect(":");
      pairs.push([name, this.value(depth)]);
    } while (this.take(","));
    this.expect("}");
    return new Members(pairs);
  }
}
