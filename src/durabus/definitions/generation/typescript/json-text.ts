/** JSON text of a value; a bigint is written as a number, with all its digits. */
export function writeJson(value: unknown): string {
  if (typeof value === "bigint") return value.toString();
  if (Array.isArray(value)) {
    return `[${value.map((one) => writeJson(one ?? null)).join(",")}]`;
  }
  if (typeof value === "object" && value !== null && !("toJSON" in value)) {
    const members = Object.entries(value)
      .filter(([, one]) => one !== undefined)
      .map(([key, one]) => `${JSON.stringify(key)}:${writeJson(one)}`);
    return `{${members.join(",")}}`;
  }
  return JSON.stringify(value) ?? "null";
}

/** The value of JSON text; an integer that a number cannot hold exactly is a bigint. Raises SyntaxError. */
export function parseJson(text: string): unknown {
  const value: unknown = JSON.parse(text);
  // Sixteen digits are the shortest number that may not be exact.
  return /\d{16}/.test(text) ? new Parser(text).parse() : value;
}

const TOKEN = /[\s,:]*([[\]{}]|"(?:[^"\\]|\\.)*"|[^\s,:[\]{}"]+)/y;

/** Reads text that is known to be JSON. */
class Parser {
  private at = 0;

  constructor(private readonly text: string) {}

  parse(): unknown {
    return this.value(this.token());
  }

  private token(): string {
    TOKEN.lastIndex = this.at;
    const found = TOKEN.exec(this.text);
    if (found === null) throw new SyntaxError("unexpected end");
    this.at = TOKEN.lastIndex;
    return found[1] ?? "";
  }

  private value(token: string): unknown {
    if (token === "[") {
      const items: unknown[] = [];
      for (let one = this.token(); one !== "]"; one = this.token()) {
        items.push(this.value(one));
      }
      return items;
    }
    if (token === "{") {
      const members: [string, unknown][] = [];
      for (let key = this.token(); key !== "}"; key = this.token()) {
        members.push([JSON.parse(key) as string, this.value(this.token())]);
      }
      return Object.fromEntries(members);
    }
    const value: unknown = JSON.parse(token);
    const isExact = typeof value !== "number" || Number.isSafeInteger(value);
    return isExact || !/^-?\d+$/.test(token) ? value : BigInt(token);
  }
}
