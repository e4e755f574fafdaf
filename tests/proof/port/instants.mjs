// Instants as whole microseconds since 1970 (BigInt, because a number is exact only until 2255).

import { Mistake } from "./problems.mjs";

export const SECOND = 1_000_000n;
export const SKEW = 5n * 60n * SECOND;
export const DAY = 24n * 60n * 60n * SECOND;

const TIME = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?Z$/;

/** Read an RFC 3339 time in UTC, or raise. */
export function parseTime(text) {
  const parts = typeof text === "string" ? TIME.exec(text) : null;
  if (parts === null) throw new Mistake({});
  const [year, month, day, hour, minute, second] = parts.slice(1, 7).map(Number);
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  date.setUTCHours(hour, minute, second);
  // A date that does not exist rolls over to another one, so it is written differently.
  const exists = year > 0 && date.toISOString().slice(0, 19) === text.slice(0, 19);
  if (!exists) throw new Mistake({});
  return BigInt(date.getTime()) * 1000n + BigInt((parts[7] ?? "").padEnd(6, "0"));
}

/** The last instant that a time can say. */
export const LAST_INSTANT = parseTime("9999-12-31T23:59:59.999999Z");

/** Write an instant with as few fraction digits as it needs. */
export function formatTime(instant) {
  const fraction = ((instant % SECOND) + SECOND) % SECOND;
  const date = new Date(Number((instant - fraction) / 1000n));
  const digits = String(fraction).padStart(6, "0").replace(/0+$/, "");
  return date.toISOString().slice(0, 19) + (digits === "" ? "Z" : `.${digits}Z`);
}

export const later = (one, other) => (one > other ? one : other);
export const earlier = (one, other) => (one < other ? one : other);

/** Divide and round up. */
export function divideUp(dividend, divisor) {
  const quotient = dividend / divisor;
  return dividend % divisor > 0n ? quotient + 1n : quotient;
}

/** Return a wait in whole seconds, rounded up, at least 1. */
export function wholeSeconds(wait) {
  return Number(later(divideUp(wait, SECOND), 1n));
}

/** Return the instant at which a fact counts. Clocks may disagree by five minutes. */
export function clamp(happenedAt, now) {
  if (happenedAt === null) return now;
  if (happenedAt > now + SKEW) throw new Mistake({ argument: "happenedAt" });
  return earlier(happenedAt, now);
}
