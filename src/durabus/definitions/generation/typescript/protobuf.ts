import {
  Enum,
  type Field,
  type INamespace,
  MapField,
  Root,
  Type,
  util,
} from "protobufjs";

import {
  type Codec,
  DecodeError,
  EncodeError,
  isObject,
  Mismatch,
  own,
} from "./codec";

const TIMESTAMP = ".google.protobuf.Timestamp";
const NANOS_PER_MS = 1_000_000;

const RANGES: { readonly [type: string]: readonly [bigint, bigint] } = {
  fixed32: [0n, 2n ** 32n - 1n],
  fixed64: [0n, 2n ** 64n - 1n],
  int32: [-(2n ** 31n), 2n ** 31n - 1n],
  int64: [-(2n ** 63n), 2n ** 63n - 1n],
  sfixed32: [-(2n ** 31n), 2n ** 31n - 1n],
  sfixed64: [-(2n ** 63n), 2n ** 63n - 1n],
  sint32: [-(2n ** 31n), 2n ** 31n - 1n],
  sint64: [-(2n ** 63n), 2n ** 63n - 1n],
  uint32: [0n, 2n ** 32n - 1n],
  uint64: [0n, 2n ** 64n - 1n],
};

/** A codec for the message with the full name `name` in the messages of `root`. */
export function protobufCodec(name: string, root: INamespace): Codec {
  const type = Root.fromJSON(root).lookupType(name);
  const path = type.name;
  return {
    encode(data: unknown): Uint8Array {
      try {
        return type.encode(writeMessage(type, data, path)).finish();
      } catch (error) {
        if (error instanceof Mismatch) throw new EncodeError(error.message);
        throw error;
      }
    },
    decode(payload: Uint8Array): unknown {
      try {
        return readMessage(type, type.decode(payload), path);
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        const start = error instanceof Mismatch ? "" : `${path}: `;
        throw new DecodeError(start + reason);
      }
    },
  };
}

/** Whether a field can be absent: then it is not there, instead of being zero or empty. */
function hasPresence(field: Field): boolean {
  const { resolvedType } = field.resolve();
  const isMessage = resolvedType instanceof Type;
  return field.hasPresence || (isMessage && !field.repeated && !field.map);
}

function isWide(type: string): boolean {
  return type.endsWith("64");
}

// From values in memory to messages.

function writeMessage(
  type: Type,
  value: unknown,
  path: string,
): Record<string, unknown> {
  if (type.fullName === TIMESTAMP) return writeTimestamp(value, path);
  if (!isObject(value)) throw new Mismatch(path, "an object", value);
  const message: Record<string, unknown> = {};
  for (const field of type.fieldsArray) {
    const one = own(value, field.name);
    const here = `${path}.${field.name}`;
    const mayBeAbsent = hasPresence(field) && !field.required;
    if (mayBeAbsent && (one === undefined || one === null)) continue;
    message[field.name] = writeField(field, one, here);
  }
  for (const oneof of type.oneofsArray) {
    const set = oneof.fieldsArray.filter(({ name }) => name in message);
    const [first, second] = set;
    if (first && second) {
      const both = `${first.name} and ${second.name}`;
      throw new Mismatch(path, `only one of ${both}`, "both");
    }
  }
  return message;
}

function writeField(field: Field, value: unknown, path: string): unknown {
  if (field instanceof MapField) {
    if (!isObject(value)) throw new Mismatch(path, "an object", value);
    return Object.fromEntries(
      Object.entries(value).map(([key, one]) => {
        const here = `${path}[${JSON.stringify(key)}]`;
        checkKey(field.keyType, key, here);
        return [key, writeOne(field, one, here)];
      }),
    );
  }
  if (!field.repeated) return writeOne(field, value, path);
  if (!Array.isArray(value)) throw new Mismatch(path, "an array", value);
  return value.map((one: unknown, index) =>
    writeOne(field, one, `${path}[${index}]`),
  );
}

function checkKey(type: string, key: string, path: string): void {
  const range = RANGES[type];
  if (range === undefined) return;
  const number = /^-?\d+$/.test(key) ? BigInt(key) : undefined;
  if (number === undefined || number < range[0] || number > range[1]) {
    throw new Mismatch(path, `a key of type ${type}`, key);
  }
}

function writeOne(field: Field, value: unknown, path: string): unknown {
  const { resolvedType, type } = field;
  if (resolvedType instanceof Type) {
    return writeMessage(resolvedType, value, path);
  }
  if (resolvedType instanceof Enum) {
    if (
      Number.isInteger(value) &&
      own(resolvedType.valuesById, String(value))
    ) {
      return value;
    }
    throw new Mismatch(path, `a ${resolvedType.name}`, value);
  }
  const range = RANGES[type];
  if (range !== undefined) {
    const isNumber = isWide(type)
      ? typeof value === "bigint"
      : Number.isInteger(value);
    if (isNumber) {
      const number = BigInt(value as bigint | number);
      if (number >= range[0] && number <= range[1]) {
        return isWide(type) ? number.toString() : value;
      }
    }
    const expected = isWide(type)
      ? `a bigint of ${type}`
      : `a number of ${type}`;
    throw new Mismatch(path, expected, value);
  }
  if (type === "bytes" && value instanceof Uint8Array) return value;
  if (type === "bool" && typeof value === "boolean") return value;
  if (type === "string" && typeof value === "string") return value;
  if (["double", "float"].includes(type) && typeof value === "number") {
    return value;
  }
  throw new Mismatch(path, `a ${type}`, value);
}

function writeTimestamp(value: unknown, path: string): Record<string, unknown> {
  if (!(value instanceof Date) || Number.isNaN(value.getTime())) {
    throw new Mismatch(path, "a valid Date", value);
  }
  const seconds = Math.floor(value.getTime() / 1000);
  const nanos = (value.getTime() - seconds * 1000) * NANOS_PER_MS;
  return { seconds, nanos };
}

// From messages to values in memory.

function readMessage(type: Type, message: object, path: string): unknown {
  const fields = message as Record<string, unknown>;
  if (type.fullName === TIMESTAMP) return readTimestamp(fields, path);
  const found: [string, unknown][] = [];
  for (const field of type.fieldsArray) {
    const isThere = Object.hasOwn(fields, field.name);
    if (hasPresence(field) && !isThere) continue;
    const here = `${path}.${field.name}`;
    found.push([field.name, readField(field, fields[field.name], here)]);
  }
  return Object.fromEntries(found);
}

function readField(field: Field, value: unknown, path: string): unknown {
  if (field instanceof MapField) {
    const entries = Object.entries((value ?? {}) as Record<string, unknown>);
    return Object.fromEntries(
      entries.map(([hash, one]) => {
        const key = readKey(field.keyType, hash);
        return [key, readOne(field, one, `${path}[${JSON.stringify(key)}]`)];
      }),
    );
  }
  if (!field.repeated) return readOne(field, value, path);
  return ((value ?? []) as unknown[]).map((one, index) =>
    readOne(field, one, `${path}[${index}]`),
  );
}

/** The library has keys of 64 bits as eight characters. */
function readKey(type: string, hash: string): string {
  if (!isWide(type)) return hash;
  const isUnsigned = type.includes("u") || type === "fixed64";
  return util.longFromHash(hash, isUnsigned).toString();
}

function readOne(field: Field, value: unknown, path: string): unknown {
  const { resolvedType, type } = field;
  if (resolvedType instanceof Type) {
    return readMessage(resolvedType, (value ?? {}) as object, path);
  }
  if (resolvedType instanceof Enum) {
    if (own(resolvedType.valuesById, String(value)) !== undefined) return value;
    throw new Mismatch(path, `a ${resolvedType.name}`, value);
  }
  if (isWide(type)) return BigInt(String(value));
  if (type === "bytes") return Uint8Array.from(value as ArrayLike<number>);
  return value;
}

function readTimestamp(fields: Record<string, unknown>, path: string): Date {
  const seconds = Number(String(fields["seconds"] ?? 0));
  const nanos = Number(fields["nanos"] ?? 0);
  const date = new Date(seconds * 1000 + Math.floor(nanos / NANOS_PER_MS));
  if (Number.isNaN(date.getTime()) || nanos < 0 || nanos >= 1e9) {
    throw new Mismatch(path, "a timestamp", `${seconds} s ${nanos} ns`);
  }
  return date;
}
