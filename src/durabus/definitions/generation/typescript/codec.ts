/** What turns the data of one event into a payload, and back. */
export interface Codec {
  /** Raises EncodeError for data that is not what the definition says. */
  encode(data: unknown): Uint8Array;

  /** Raises DecodeError, whatever the bytes are. */
  decode(payload: Uint8Array): unknown;
}

/** Data that its definition does not allow; the message says where. */
export class EncodeError extends Error {
  override readonly name: string = "EncodeError";
}

/** A payload that is no such event; the message says where. */
export class DecodeError extends Error {
  override readonly name: string = "DecodeError";
}

/** A value that is not what its definition says; becomes one of the two errors above. */
export class Mismatch extends Error {
  constructor(path: string, expected: string, value: unknown) {
    super(`${path}: expected ${expected}, got ${shown(value)}`);
  }
}

function shown(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  if (Array.isArray(value)) return "an array";
  if (value instanceof Date) return "a Date";
  if (value instanceof Uint8Array) return "bytes";
  if (typeof value === "object") return "an object";
  if (typeof value === "string") return JSON.stringify(value.slice(0, 40));
  if (typeof value === "bigint") return `${value}n`;
  return String(value);
}

const DATE = /^(\d{4})-(\d\d)-(\d\d)$/;
const TIMESTAMP =
  /^(\d{4}-\d\d-\d\d)[Tt ]([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d+)?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)$/;
const UUID = /^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$/i;

/** Whether `text` is a day of the calendar, as 2026-11-24. */
export function isDate(text: string): boolean {
  const parts = DATE.exec(text);
  if (parts === null || parts[1] === "0000") return false;
  const day = new Date(`${text}T00:00:00Z`);
  return !Number.isNaN(day.getTime()) && day.toISOString().startsWith(text);
}

/** The moment that a text of RFC 3339 tells, which has a zone; undefined for any other text. */
export function parseTimestamp(text: string): Date | undefined {
  const parts = TIMESTAMP.exec(text);
  if (parts === null || !isDate(parts[1] ?? "")) return undefined;
  return new Date(text.replace(" ", "T").toUpperCase());
}

/** Whether `text` is a UUID in its usual form. */
export function isUuid(text: string): boolean {
  return UUID.test(text);
}

/** Whether a value is an object with fields, or a map. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return (
    typeof value === "object" &&
    value !== null &&
    !Array.isArray(value) &&
    !(value instanceof Date) &&
    !(value instanceof Uint8Array)
  );
}

/** The field of an object that is its own, not one of every object (such as `constructor`). */
export function own(value: Record<string, unknown>, name: string): unknown {
  return Object.hasOwn(value, name) ? value[name] : undefined;
}
