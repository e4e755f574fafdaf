// Texts that the rules read: app user ids, UUIDs and data packages, and the order of texts.

import { Mistake } from "./problems.mjs";

const LONGEST_USER = 256;
const MOST_PACKAGES = 64;
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
const PACKAGE = /^[a-z][a-z0-9_]{0,63}$/;

/** Return an app user's id as it is, or raise if it is not one. */
export function readAppUserId(value) {
  if (typeof value !== "string" || value === "") throw new Mistake({});
  if ([...value].length > LONGEST_USER) throw new Mistake({});
  if (/^\p{White_Space}|\p{White_Space}$/u.test(value)) throw new Mistake({});
  // With the flag u a surrogate matches only where it stands alone.
  if (/[\p{Control}\p{Surrogate}]/u.test(value)) throw new Mistake({});
  return value;
}

/** Return a UUID in lower case, or raise. */
export function readUuid(value) {
  if (typeof value !== "string" || !UUID.test(value)) throw new Mistake({});
  return value.toLowerCase();
}

/** Return a sorted list of different data packages, or raise. */
export function readDataPackages(value) {
  if (!Array.isArray(value)) throw new Mistake({});
  for (const token of value) {
    if (typeof token !== "string" || !PACKAGE.test(token)) throw new Mistake({});
  }
  const packages = [...new Set(value)].sort();
  if (packages.length < 1 || packages.length > MOST_PACKAGES) throw new Mistake({});
  return packages;
}

/** Compare two texts by code points. The operator < compares UTF-16 units, which differs. */
export function compareCodePoints(left, right) {
  const [one, other] = [[...left], [...right]];
  for (let place = 0; place < one.length && place < other.length; place += 1) {
    const difference = one[place].codePointAt(0) - other[place].codePointAt(0);
    if (difference !== 0) return difference;
  }
  return one.length - other.length;
}
