import { createHmac, randomBytes } from "node:crypto";

import {
  type AdmissionIssuedEvent,
  Listener,
  type PaymentCreatedEvent,
  Publisher,
  Subjects,
} from "@ticketing/common";
import { connect, type Message, type Stan } from "node-nats-streaming";

/** Admissions: who has paid gets a code for the door. It needs no database: the code follows from the order. */

const SECRET = process.env.SECRET ?? "a secret of this service";
const ACK_WAIT_MS = 1000 * Number(process.env.ACK_WAIT ?? 30);
const CLIENT_ID = process.env.CLIENT_ID ?? `admissions-${randomBytes(4).toString("hex")}`;

class AdmissionIssuedPublisher extends Publisher<AdmissionIssuedEvent> {
  readonly subject = Subjects.AdmissionIssued;
}

class PaymentCreatedListener extends Listener<PaymentCreatedEvent> {
  readonly subject = Subjects.PaymentCreated;
  readonly queueGroupName = "admissions";
  protected override ackWait = ACK_WAIT_MS;
  private readonly publisher = new AdmissionIssuedPublisher(this.client);

  /** A payment that comes twice gives the same code twice. */
  async onMessage({ orderId, userId }: PaymentCreatedEvent["data"], msg: Message): Promise<void> {
    const code = createHmac("sha256", SECRET).update(orderId).digest("hex").slice(0, 12);
    await this.publisher.publish({ code, orderId, userId });
    msg.ack();
    say("issued", { code, orderId });
  }
}

function say(what: string, details: object): void {
  process.stdout.write(`${JSON.stringify({ say: what, ...details })}\n`);
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
  await new PaymentCreatedListener(stan).listen();
  say("ready", { service: "admissions", client: CLIENT_ID });
});
for (const loss of ["error", "connection_lost"]) {
  stan.on(loss, (error: unknown) => {
    process.stderr.write(`${CLIENT_ID}: ${loss}: ${String(error)}\n`);
    process.exit(1); // whoever started it starts it again
  });
}
