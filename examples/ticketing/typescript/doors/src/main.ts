import { randomBytes } from "node:crypto";
import { createInterface } from "node:readline";

import {
  type AdmissionIssuedEvent,
  type AdmissionUsedEvent,
  type AnyEvent,
  Listener,
  Publisher,
  Subjects,
} from "@ticketing/common";
import { connect, type Message, type Stan } from "node-nats-streaming";

/**
 * Doors: lets people in, each code once. What it knows is in memory, and comes from the bus: whenever it starts, it
 * reads from the first event which codes there are, and which were used.
 *
 * One command per line of standard input, {"do": "scan", "call": 1, "code": "...", "door": "north"}.
 */

const CLIENT_ID = process.env.CLIENT_ID ?? `doors-${randomBytes(4).toString("hex")}`;

interface Admission {
  orderId: string;
  userId: string;
}

const admissions = new Map<string, Admission>();
const used = new Set<string>();

/** Everything from the first event, for this process alone: a group of its own, and no durable name. */
abstract class WholeChannelListener<T extends AnyEvent> extends Listener<T> {
  readonly queueGroupName = CLIENT_ID;

  override subscriptionOptions() {
    return this.client.subscriptionOptions().setDeliverAllAvailable().setManualAckMode(true);
  }
}

class AdmissionIssuedListener extends WholeChannelListener<AdmissionIssuedEvent> {
  readonly subject = Subjects.AdmissionIssued;

  onMessage({ code, orderId, userId }: AdmissionIssuedEvent["data"], msg: Message): void {
    admissions.set(code, { orderId, userId });
    msg.ack();
    say("expects", { code, userId });
  }
}

class AdmissionUsedListener extends WholeChannelListener<AdmissionUsedEvent> {
  readonly subject = Subjects.AdmissionUsed;

  onMessage({ code }: AdmissionUsedEvent["data"], msg: Message): void {
    used.add(code);
    msg.ack();
  }
}

class AdmissionUsedPublisher extends Publisher<AdmissionUsedEvent> {
  readonly subject = Subjects.AdmissionUsed;
}

async function scan(publisher: AdmissionUsedPublisher, code: string, door: string): Promise<string> {
  const admission = admissions.get(code);
  if (!admission) throw new Error("there is no such code");
  if (used.has(code)) throw new Error("the code was used");
  used.add(code);
  await publisher.publish({ code, orderId: admission.orderId, door, usedAt: new Date() });
  return `welcome, ${admission.userId}`;
}

function say(what: string, details: object): void {
  process.stdout.write(`${JSON.stringify({ say: what, ...details })}\n`);
}

function takeCommands(publisher: AdmissionUsedPublisher): void {
  createInterface({ input: process.stdin }).on("line", async (line) => {
    const { call, code, door } = JSON.parse(line) as { call?: number; code: string; door?: string };
    try {
      say("reply", { call, result: await scan(publisher, code, door ?? "north") });
    } catch (error) {
      say("reply", { call, error: (error as Error).message });
    }
  });
}

function end(stan: Stan): void {
  stan.on("close", () => process.exit(0));
  stan.close();
}

const stan = connect(process.env.CLUSTER_ID ?? "ticketing", CLIENT_ID, {
  url: process.env.BUS_URL ?? "nats://localhost:4222",
});
stan.on("connect", async () => {
  process.on("SIGTERM", () => end(stan));
  process.on("SIGINT", () => end(stan));
  await Promise.all([new AdmissionIssuedListener(stan).listen(), new AdmissionUsedListener(stan).listen()]);
  takeCommands(new AdmissionUsedPublisher(stan));
  say("ready", { service: "doors", client: CLIENT_ID });
});
for (const loss of ["error", "connection_lost"]) {
  stan.on(loss, (error: unknown) => {
    process.stderr.write(`${CLIENT_ID}: ${loss}: ${String(error)}\n`);
    process.exit(1); // whoever started it starts it again
  });
}
