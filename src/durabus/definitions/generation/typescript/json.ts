import {
  type Codec,
  DecodeError,
  EncodeError,
  isDate,
  isObject,
  isUuid,
  Mismatch,
  own,
  parseTimestamp,
} from "./codec";
import { parseJson, writeJson } from "./json-text";

export type ScalarShape =
  | "any"
  | "boolean"
  | "bytes"
  | "date"
  | "int64"
  | "integer"
  | "number"
  | "string"
  | "timestamp"
  | "uint64"
  | "uuid";

/** What a value looks like. */
export type Shape =
  | ScalarShape
  | { readonly array: Shape }
  | { readonly literal: readonly (boolean | number | string)[] }
  | { readonly map: Shape }
  | { readonly nullable: Shape }
  | { readonly ref: string }
  | { readonly union: readonly Shape[] };

export interface FieldShape {
  readonly shape: Shape;
  readonly optional?: boolean;
  /** What the field is taken to be where it is absent, as JSON has it. */
  readonly default?: unknown;
}

export interface RecordShape {
  readonly fields: { readonly [name: string]: FieldShape };
  /** Whether other fields are refused. */
  readonly closed?: boolean;
}

export interface Shapes {
  readonly [name: string]: RecordShape;
}

/** A codec for JSON in UTF-8; `name` is one of `shapes`. */
export function jsonCodec(name: string, shapes: Shapes): Codec {
  const shape = { ref: name };
  return {
    encode(data: unknown): Uint8Array {
      try {
        const text = writeJson(new Writer(shapes).write(shape, data, name));
        return new TextEncoder().encode(text);
      } catch (error) {
        throw error instanceof Mismatch
          ? new EncodeError(error.message)
          : error;
      }
    },
    decode(payload: Uint8Array): unknown {
      try {
        const text = new TextDecoder("utf-8", { fatal: true }).decode(payload);
        return new Reader(shapes).read(shape, parseJson(text), name);
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        const start = error instanceof Mismatch ? "" : `${name}: no JSON: `;
        throw new DecodeError(start + reason);
      }
    },
  };
}

const RANGES = {
  int64: [-(2n ** 63n), 2n ** 63n - 1n],
  uint64: [0n, 2n ** 64n - 1n],
} as const;

/** What both directions have in common. */
abstract class Converter {
  constructor(protected readonly shapes: Shapes) {}

  protected record(name: string): RecordShape {
    const found = this.shapes[name];
    if (found === undefined) throw new Error(`there is no shape ${name}`);
    return found;
  }

  /** The first member of a union that `convert` takes. */
  protected choose(
    shapes: readonly Shape[],
    value: unknown,
    path: string,
    convert: (shape: Shape) => unknown,
  ): unknown {
    let closest: Mismatch | undefined;
    for (const shape of shapes) {
      try {
        return convert(shape);
      } catch (error) {
        if (!(error instanceof Mismatch)) throw error;
        // The complaint about the inside of a member says more than that the value is none of them.
        if (!error.message.startsWith(`${path}: `)) closest ??= error;
      }
    }
    throw closest ?? new Mismatch(path, "one of several types", value);
  }

  protected inRange(
    shape: "int64" | "uint64",
    value: bigint,
    path: string,
  ): bigint {
    const [least, most] = RANGES[shape];
    if (value < least || value > most) throw new Mismatch(path, shape, value);
    return value;
  }

  protected literal(
    values: readonly unknown[],
    value: unknown,
    path: string,
  ): unknown {
    if (values.includes(value)) return value;
    throw new Mismatch(path, `one of ${values.join(", ")}`, value);
  }

  /** What is alike in JSON and in memory. */
  protected plain(
    shape: "boolean" | "date" | "integer" | "number" | "string" | "uuid",
    value: unknown,
    path: string,
  ): unknown {
    switch (shape) {
      case "boolean":
        if (typeof value === "boolean") return value;
        break;
      case "date":
        if (typeof value === "string" && isDate(value)) return value;
        throw new Mismatch(path, "a date as 2026-11-24", value);
      case "integer":
        if (Number.isSafeInteger(value)) return value;
        throw new Mismatch(path, "an integer that a number can hold", value);
      case "number":
        if (typeof value === "number" && Number.isFinite(value)) return value;
        break;
      case "string":
        if (typeof value === "string") return value;
        break;
      case "uuid":
        if (typeof value === "string" && isUuid(value)) return value;
        break;
    }
    throw new Mismatch(path, `a ${shape}`, value);
  }
}

/** From values in memory to JSON. */
class Writer extends Converter {
  write(shape: Shape, value: unknown, path: string): unknown {
    if (typeof shape === "string") return this.scalar(shape, value, path);
    if ("array" in shape) {
      if (!Array.isArray(value)) throw new Mismatch(path, "an array", value);
      return value.map((one: unknown, index) =>
        this.write(shape.array, one, `${path}[${index}]`),
      );
    }
    if ("literal" in shape) return this.literal(shape.literal, value, path);
    if ("map" in shape) {
      if (!isObject(value)) throw new Mismatch(path, "an object", value);
      return Object.fromEntries(
        Object.entries(value).map(([key, one]) => [
          key,
          this.write(shape.map, one, `${path}[${JSON.stringify(key)}]`),
        ]),
      );
    }
    if ("nullable" in shape) {
      return value === null ? null : this.write(shape.nullable, value, path);
    }
    if ("union" in shape) {
      return this.choose(shape.union, value, path, (one) =>
        this.write(one, value, path),
      );
    }
    return this.fields(this.record(shape.ref), value, path);
  }

  private fields(record: RecordShape, value: unknown, path: string): unknown {
    if (!isObject(value)) throw new Mismatch(path, "an object", value);
    const written: [string, unknown][] = [];
    for (const [name, field] of Object.entries(record.fields)) {
      const one = own(value, name);
      const isOptional = field.optional === true;
      if (one === undefined && isOptional) {
        // What an event says must not change with a default, so that is written.
        const { default: assumed } = field;
        if (assumed !== undefined) written.push([name, assumed]);
        continue;
      }
      written.push([name, this.write(field.shape, one, `${path}.${name}`)]);
    }
    return Object.fromEntries(written);
  }

  private scalar(shape: ScalarShape, value: unknown, path: string): unknown {
    switch (shape) {
      case "any":
        if (value === undefined) throw new Mismatch(path, "a value", value);
        return value;
      case "bytes":
        if (!(value instanceof Uint8Array)) {
          throw new Mismatch(path, "a Uint8Array", value);
        }
        return Buffer.from(value).toString("base64");
      case "int64":
      case "uint64":
        if (typeof value !== "bigint") {
          throw new Mismatch(path, "a bigint", value);
        }
        return this.inRange(shape, value, path);
      case "timestamp":
        if (!(value instanceof Date) || Number.isNaN(value.getTime())) {
          throw new Mismatch(path, "a valid Date", value);
        }
        return value.toISOString();
      default:
        return this.plain(shape, value, path);
    }
  }
}

/** From JSON to values in memory. */
class Reader extends Converter {
  read(shape: Shape, value: unknown, path: string): unknown {
    if (typeof shape === "string") return this.scalar(shape, value, path);
    if ("array" in shape) {
      if (!Array.isArray(value)) throw new Mismatch(path, "an array", value);
      return value.map((one: unknown, index) =>
        this.read(shape.array, one, `${path}[${index}]`),
      );
    }
    if ("literal" in shape) return this.literal(shape.literal, value, path);
    if ("map" in shape) {
      if (!isObject(value)) throw new Mismatch(path, "an object", value);
      return Object.fromEntries(
        Object.entries(value).map(([key, one]) => [
          key,
          this.read(shape.map, one, `${path}[${JSON.stringify(key)}]`),
        ]),
      );
    }
    if ("nullable" in shape) {
      return value === null ? null : this.read(shape.nullable, value, path);
    }
    if ("union" in shape) {
      return this.choose(shape.union, value, path, (one) =>
        this.read(one, value, path),
      );
    }
    return this.fields(this.record(shape.ref), value, path);
  }

  private fields(record: RecordShape, value: unknown, path: string): unknown {
    if (!isObject(value)) throw new Mismatch(path, "an object", value);
    const found: [string, unknown][] = [];
    for (const [name, field] of Object.entries(record.fields)) {
      let one = own(value, name);
      if (one === undefined && field.optional === true) {
        if (field.default === undefined) continue;
        one = field.default;
      }
      found.push([name, this.read(field.shape, one, `${path}.${name}`)]);
    }
    if (record.closed === true) {
      for (const name of Object.keys(value)) {
        if (!Object.hasOwn(record.fields, name)) {
          throw new Mismatch(
            `${path}.${name}`,
            "no such field",
            own(value, name),
          );
        }
      }
    }
    return Object.fromEntries(found);
  }

  private scalar(shape: ScalarShape, value: unknown, path: string): unknown {
    switch (shape) {
      case "any":
        if (value === undefined) throw new Mismatch(path, "a value", value);
        return value;
      case "bytes":
        return this.bytes(value, path);
      case "int64":
      case "uint64":
        if (typeof value !== "bigint" && !Number.isSafeInteger(value)) {
          throw new Mismatch(path, "an integer", value);
        }
        return this.inRange(shape, BigInt(value as bigint | number), path);
      case "number":
        return this.plain(
          shape,
          typeof value === "bigint" ? Number(value) : value,
          path,
        );
      case "timestamp": {
        const moment =
          typeof value === "string" ? parseTimestamp(value) : undefined;
        if (moment === undefined) {
          throw new Mismatch(path, "a date-time with a zone", value);
        }
        return moment;
      }
      default:
        return this.plain(shape, value, path);
    }
  }

  private bytes(value: unknown, path: string): Uint8Array {
    if (typeof value === "string" && value.length % 4 === 0) {
      const decoded = Buffer.from(value, "base64");
      if (decoded.toString("base64") === value) return new Uint8Array(decoded);
    }
    throw new Mismatch(path, "base64", value);
  }
}
