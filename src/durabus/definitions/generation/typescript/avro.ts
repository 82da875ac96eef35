import { type Schema as AvscSchema, Type, types } from "avsc";

import {
  type Codec,
  DecodeError,
  EncodeError,
  isDate,
  isObject,
  isUuid,
  Mismatch,
  own,
} from "./codec";

/** A schema as its file has it. */
export type AvroSchema = string | readonly AvroSchema[] | AvroObject;

interface AvroObject {
  readonly type: AvroSchema;
  readonly name?: string;
  readonly namespace?: string;
  readonly logicalType?: string;
  readonly fields?: readonly AvroField[];
  readonly items?: AvroSchema;
  readonly values?: AvroSchema;
  readonly symbols?: readonly string[];
  readonly size?: number;
}

interface AvroField {
  readonly name: string;
  readonly type: AvroSchema;
  readonly default?: unknown;
}

const DAY_MS = 24 * 60 * 60 * 1000;
const INT_MAX = 2 ** 31 - 1;
const LONG_MAX = 2n ** 63n - 1n;

/** Every long is a bigint: a number does not hold all of them. */
const long = types.LongType.__with({
  fromBuffer: (bytes: Buffer) => bytes.readBigInt64LE(),
  toBuffer: (value: bigint) => {
    const bytes = Buffer.alloc(8);
    bytes.writeBigInt64LE(value);
    return bytes;
  },
  fromJSON: BigInt,
  toJSON: Number,
  isValid: (value: unknown) =>
    typeof value === "bigint" && value >= -LONG_MAX - 1n && value <= LONG_MAX,
  compare: (one: bigint, other: bigint) =>
    one === other ? 0 : one < other ? -1 : 1,
});

/** A codec for Avro binary: the record alone, without a header. */
export function avroCodec(schema: AvroSchema & AvroObject): Codec {
  const type = Type.forSchema(plain(schema) as AvscSchema, {
    registry: { long },
    wrapUnions: true,
  });
  const converter = new Converter(schema);
  const path = schema.name ?? "";
  return {
    encode(data: unknown): Uint8Array {
      try {
        return type.toBuffer(converter.write(schema, data, path));
      } catch (error) {
        if (error instanceof Mismatch) throw new EncodeError(error.message);
        throw error;
      }
    },
    decode(payload: Uint8Array): unknown {
      try {
        const value: unknown = type.fromBuffer(Buffer.from(payload));
        return converter.read(schema, value, path);
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        const start = error instanceof Mismatch ? "" : `${path}: `;
        throw new DecodeError(start + reason);
      }
    },
  };
}

/** The same schema without logical types and without what is not of Avro: their values are converted here. */
function plain(schema: AvroSchema): unknown {
  if (typeof schema === "string") return schema;
  if (isUnion(schema)) return schema.map(plain);
  // A primitive alone is written as its name: only so the library takes our long for it.
  if (schema.name === undefined && !schema.items && !schema.values) {
    return plain(schema.type);
  }
  const { logicalType: _, ...rest } = schema;
  return {
    ...rest,
    type: plain(schema.type),
    ...(schema.items === undefined ? {} : { items: plain(schema.items) }),
    ...(schema.values === undefined ? {} : { values: plain(schema.values) }),
    ...(schema.fields === undefined
      ? {}
      : {
          fields: schema.fields.map(({ name, type }) => ({
            name,
            type: plain(type),
          })),
        }),
  };
}

function isUnion(schema: AvroSchema): schema is readonly AvroSchema[] {
  return Array.isArray(schema);
}

/** Between values of a service and those of the library: unions are wrapped there, and dates are numbers. */
class Converter {
  private readonly named = new Map<string, AvroObject>();
  private readonly names = new Map<AvroObject, string>();

  constructor(schema: AvroSchema) {
    this.collect(schema, "");
  }

  private collect(schema: AvroSchema, namespace: string): void {
    if (typeof schema === "string") return;
    if (isUnion(schema)) {
      for (const one of schema) this.collect(one, namespace);
      return;
    }
    let inside = namespace;
    if (schema.name !== undefined) {
      const space = schema.namespace ?? namespace;
      const isFull = schema.name.includes(".") || space === "";
      const full = isFull ? schema.name : `${space}.${schema.name}`;
      inside = full.slice(0, Math.max(full.lastIndexOf("."), 0));
      this.named.set(full, schema);
      this.names.set(schema, full);
    }
    for (const field of schema.fields ?? []) this.collect(field.type, inside);
    for (const one of [schema.type, schema.items, schema.values]) {
      if (one !== undefined) this.collect(one, inside);
    }
  }

  /** The type that a name stands for, in the namespace of the record around it. */
  private resolve(schema: AvroSchema, space: string): AvroSchema {
    if (typeof schema !== "string") return schema;
    return (
      this.named.get(`${space}.${schema}`) ?? this.named.get(schema) ?? schema
    );
  }

  private inside(schema: AvroObject, space: string): string {
    const full = this.names.get(schema);
    if (full === undefined) return space;
    return full.slice(0, Math.max(full.lastIndexOf("."), 0));
  }

  /** How the library calls a member of a union. */
  private branch(schema: AvroSchema): string {
    if (typeof schema === "string") return schema;
    if (isUnion(schema)) throw new Error("a union in a union");
    return this.names.get(schema) ?? this.branch(schema.type);
  }

  write(named: AvroSchema, value: unknown, path: string, space = ""): unknown {
    const schema = this.resolve(named, space);
    if (isUnion(schema)) return this.writeUnion(schema, value, path, space);
    if (typeof schema === "string") return writePrimitive(schema, value, path);
    if (schema.logicalType !== undefined) {
      return writeLogical(schema, value, path);
    }
    const inside = this.inside(schema, space);
    switch (schema.type) {
      case "record":
        return this.writeRecord(schema, value, path, inside);
      case "array":
        if (!Array.isArray(value)) throw new Mismatch(path, "an array", value);
        return value.map((one: unknown, index) =>
          this.write(schema.items ?? "", one, `${path}[${index}]`, inside),
        );
      case "map":
        if (!isObject(value)) throw new Mismatch(path, "an object", value);
        return Object.fromEntries(
          Object.entries(value).map(([key, one]) => {
            const here = `${path}[${JSON.stringify(key)}]`;
            return [key, this.write(schema.values ?? "", one, here, inside)];
          }),
        );
      case "enum":
        if ((schema.symbols ?? []).includes(value as string)) return value;
        throw new Mismatch(path, `a ${schema.name}`, value);
      case "fixed":
        if (value instanceof Uint8Array && value.length === schema.size) {
          return Buffer.from(value);
        }
        throw new Mismatch(path, `${schema.size} bytes`, value);
      default:
        return this.write(schema.type, value, path, space);
    }
  }

  private writeRecord(
    schema: AvroObject,
    value: unknown,
    path: string,
    space: string,
  ): unknown {
    if (!isObject(value)) throw new Mismatch(path, "an object", value);
    const written: [string, unknown][] = [];
    for (const field of schema.fields ?? []) {
      const here = `${path}.${field.name}`;
      const one = own(value, field.name);
      if (one === undefined && field.default !== undefined) {
        const filled = this.fill(field.type, field.default, here, space);
        written.push([field.name, filled]);
      } else {
        written.push([field.name, this.write(field.type, one, here, space)]);
      }
    }
    return Object.fromEntries(written);
  }

  /** The value of a default, which a schema has as JSON: of a union it is of the first member. */
  private fill(
    named: AvroSchema,
    value: unknown,
    path: string,
    space: string,
  ): unknown {
    const schema = this.resolve(named, space);
    if (isUnion(schema)) {
      const [first = "null"] = schema;
      if (first === "null") return null;
      const branch = this.branch(this.resolve(first, space));
      return { [branch]: this.fill(first, value, path, space) };
    }
    if (typeof schema !== "string") {
      const inside = this.inside(schema, space);
      if (schema.type === "record" && isObject(value)) {
        const fields = (schema.fields ?? []).map((field) => {
          const one = own(value, field.name) ?? field.default ?? null;
          return [field.name, this.fill(field.type, one, path, inside)];
        });
        return Object.fromEntries(fields) as unknown;
      }
      if (schema.type === "array" && Array.isArray(value)) {
        return value.map((one) =>
          this.fill(schema.items ?? "", one, path, inside),
        );
      }
      if (schema.type === "map" && isObject(value)) {
        const entries = Object.entries(value).map(([key, one]) => [
          key,
          this.fill(schema.values ?? "", one, path, inside),
        ]);
        return Object.fromEntries(entries) as unknown;
      }
      if (schema.type === "fixed") return Buffer.from(String(value), "latin1");
      if (schema.type === "enum") return value;
      return this.fill(schema.type, value, path, inside);
    }
    if (schema === "bytes") return Buffer.from(String(value), "latin1");
    if (schema === "long") return BigInt(value as number);
    return value;
  }

  private writeUnion(
    schemas: readonly AvroSchema[],
    value: unknown,
    path: string,
    space: string,
  ): unknown {
    if (value === null && schemas.includes("null")) return null;
    const complaints: Mismatch[] = [];
    for (const one of schemas) {
      if (one === "null") continue;
      try {
        const branch = this.branch(this.resolve(one, space));
        return { [branch]: this.write(one, value, path, space) };
      } catch (error) {
        if (!(error instanceof Mismatch)) throw error;
        complaints.push(error);
      }
    }
    const inner = complaints.find(
      (one) => !one.message.startsWith(`${path}: `),
    );
    const [only] = complaints.length === 1 ? complaints : [inner];
    throw only ?? new Mismatch(path, "one of several types", value);
  }

  read(named: AvroSchema, value: unknown, path: string, space = ""): unknown {
    const schema = this.resolve(named, space);
    if (isUnion(schema)) {
      if (value === null) return null;
      const [entry] = Object.entries(value as Record<string, unknown>);
      const [branch, one] = entry ?? ["", undefined];
      const found = schema.find(
        (member) => this.branch(this.resolve(member, space)) === branch,
      );
      return this.read(found ?? "null", one, path, space);
    }
    if (typeof schema === "string") {
      return schema === "bytes" ? Uint8Array.from(value as Buffer) : value;
    }
    if (schema.logicalType !== undefined)
      return readLogical(schema, value, path);
    const inside = this.inside(schema, space);
    switch (schema.type) {
      case "record": {
        const record = value as Record<string, unknown>;
        const fields = (schema.fields ?? []).map(({ name, type }) => {
          return [
            name,
            this.read(type, record[name], `${path}.${name}`, inside),
          ];
        });
        return Object.fromEntries(fields) as unknown;
      }
      case "array":
        return (value as unknown[]).map((one, index) =>
          this.read(schema.items ?? "", one, `${path}[${index}]`, inside),
        );
      case "map":
        return Object.fromEntries(
          Object.entries(value as Record<string, unknown>).map(([key, one]) => {
            const here = `${path}[${JSON.stringify(key)}]`;
            return [key, this.read(schema.values ?? "", one, here, inside)];
          }),
        );
      case "enum":
        return value;
      case "fixed":
        return Uint8Array.from(value as Buffer);
      default:
        return this.read(schema.type, value, path, space);
    }
  }
}

function writePrimitive(type: string, value: unknown, path: string): unknown {
  switch (type) {
    case "boolean":
      if (typeof value === "boolean") return value;
      break;
    case "bytes":
      if (value instanceof Uint8Array) return Buffer.from(value);
      break;
    case "double":
    case "float":
      if (typeof value === "number") return value;
      break;
    case "int":
      if (Number.isInteger(value)) {
        const number = value as number;
        if (number >= -INT_MAX - 1 && number <= INT_MAX) return value;
      }
      break;
    case "long":
      if (long.isValid(value)) return value;
      throw new Mismatch(path, "a bigint of 64 bits", value);
    case "string":
      if (typeof value === "string") return value;
      break;
  }
  throw new Mismatch(path, `a value of type ${type}`, value);
}

function writeLogical(
  schema: AvroObject,
  value: unknown,
  path: string,
): unknown {
  switch (schema.logicalType) {
    case "date":
      if (typeof value === "string" && isDate(value)) {
        return Date.parse(`${value}T00:00:00Z`) / DAY_MS;
      }
      throw new Mismatch(path, "a date as 2026-11-24", value);
    case "timestamp-micros":
    case "timestamp-millis": {
      if (!(value instanceof Date) || Number.isNaN(value.getTime())) {
        throw new Mismatch(path, "a valid Date", value);
      }
      const millis = BigInt(value.getTime());
      return schema.logicalType === "timestamp-millis"
        ? millis
        : millis * 1000n;
    }
    case "uuid":
      if (typeof value === "string" && isUuid(value)) return value;
      throw new Mismatch(path, "a uuid", value);
    default:
      return value;
  }
}

function readLogical(
  schema: AvroObject,
  value: unknown,
  path: string,
): unknown {
  switch (schema.logicalType) {
    case "date": {
      const date = new Date((value as number) * DAY_MS);
      const text = Number.isNaN(date.getTime()) ? "" : date.toISOString();
      if (!isDate(text.slice(0, 10))) throw new Mismatch(path, "a date", value);
      return text.slice(0, 10);
    }
    case "timestamp-micros":
    case "timestamp-millis": {
      const number = value as bigint;
      // Rounded down, also before 1970.
      const millis =
        schema.logicalType === "timestamp-millis"
          ? number
          : (number - (((number % 1000n) + 1000n) % 1000n)) / 1000n;
      const date = new Date(Number(millis));
      if (Number.isNaN(date.getTime())) {
        throw new Mismatch(path, "a timestamp", value);
      }
      return date;
    }
    case "uuid":
      if (!isUuid(value as string)) throw new Mismatch(path, "a uuid", value);
      return value;
    default:
      return value;
  }
}
