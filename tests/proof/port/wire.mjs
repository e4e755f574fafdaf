// A connection on the wire: how it is shown, and how a snapshot of another system is read.

import { kebab, standing } from "./connection.mjs";
import { newConnection } from "./chains.mjs";
import { later, parseTime } from "./instants.mjs";
import { Mistake } from "./problems.mjs";
import { readAppUserId, readDataPackages, readUuid } from "./text.mjs";

/** Show a connection as the wire does. A tombstone that ended it gives its `revokedAt`. */
export function showConnection(connection, { now, era, tombstonedAt = null, activeSpelling = "ACTIVE" }) {
  const found = standing(connection, { now, era }).standing;
  const spelled = { LAPSED: "EXPIRED", ACTIVE: activeSpelling };
  const { identity } = connection;
  let { revokedAt } = connection;
  if (revokedAt === null && identity.era !== era && tombstonedAt !== null) {
    revokedAt = later(tombstonedAt, identity.createdAt);
  }
  const shown = {
    id: identity.id,
    customerAccountId: identity.coordinate.customerAccountId,
    appUserId: identity.coordinate.appUserId,
    status: spelled[found] ?? found,
    dataPackages: identity.dataPackages,
    authorizedAt: connection.authorizedAt,
    expiresAt: connection.expiresAt,
    revokedAt,
    actionRequiredReason: connection.actionRequiredReason,
    createdAt: identity.createdAt,
    updatedAt: connection.updatedAt,
  };
  return { shown, rule: `wire-status.${kebab(found)}` };
}

const STATUSES = {
  PENDING: "PENDING",
  ACTIVE: "ACTIVE",
  AUTHORIZED: "ACTIVE",
  ACTION_REQUIRED: "ACTION_REQUIRED",
  EXPIRED: "EXPIRED",
  REVOKED: "REVOKED",
};

function readStatus(value) {
  if (typeof value !== "string" || !Object.hasOwn(STATUSES, value)) throw new Mistake({});
  return value;
}

function readReason(value) {
  if (typeof value !== "string" || value === "") throw new Mistake({});
  return value;
}

const readTime = (value) => parseTime(typeof value === "string" ? value.replace(/\+00:00$/, "Z") : value);

// The members in the order in which a fault is looked for: how each is read, and whether it may be absent.
const MEMBERS = [
  ["id", readUuid, false],
  ["customerAccountId", readUuid, false],
  ["appUserId", readAppUserId, false],
  ["status", readStatus, false],
  ["dataPackages", readDataPackages, false],
  ["authorizedAt", readTime, true],
  ["expiresAt", readTime, true],
  ["revokedAt", readTime, true],
  ["actionRequiredReason", readReason, true],
  ["createdAt", readTime, false],
  ["updatedAt", readTime, false],
];

/** Read one member, or raise with its name and fault. */
export function readMember(value, { member, read, optional }) {
  if (value === undefined || value === null) {
    if (optional) return null;
    throw new Mistake({ member, fault: value === null ? "NULL" : "MISSING" });
  }
  try {
    return read(value);
  } catch (error) {
    if (error instanceof Mistake) throw new Mistake({ member, fault: "INVALID" });
    throw error;
  }
}

/** Read a snapshot tolerantly. What the wire does not say is given beside it. */
export function readConnection(document, { environment, appId }) {
  const read = {};
  for (const [member, reader, optional] of MEMBERS) {
    const value = Object.hasOwn(document, member) ? document[member] : undefined;
    read[member] = readMember(value, { member, read: reader, optional });
  }
  const { id, customerAccountId, appUserId, dataPackages, createdAt, updatedAt } = read;
  const coordinate = { environment, appId, customerAccountId, appUserId };
  const place = { predecessorId: null, rootId: id, position: 1, era: null };
  const fresh = newConnection({ id, coordinate, dataPackages, createdAt, ...place }, null);
  const { authorizedAt, expiresAt, revokedAt, actionRequiredReason } = read;
  const shown = { ...fresh, updatedAt, authorizedAt, expiresAt, revokedAt, actionRequiredReason };
  const rule = `stored-status.${kebab(read.status)}`;
  if (revokedAt !== null) {
    return { connection: { ...shown, status: "REVOKED" }, rule: "stored-status.revoked-at" };
  }
  if (read.status === "EXPIRED" && authorizedAt === null && actionRequiredReason === null) {
    return { connection: { ...shown, handoffDeadline: updatedAt }, rule: "stored-status.lapsed" };
  }
  return { connection: { ...shown, status: STATUSES[read.status] }, rule };
}
