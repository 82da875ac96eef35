// A service that says what it hears: a line of JSON for each event. On "repeat" it publishes all that it has heard.

import {
  type AnyEvent,
  DecodeError,
  Listener,
  type OrderCancelledEvent,
  type OrderCreatedEvent,
  OrderStatus,
  type ParcelSentEvent,
  type PaymentCreatedEvent,
  Publisher,
  Subjects,
} from "@shop/common";
import { connect, type Message } from "node-nats-streaming";
import { createInterface } from "node:readline";

const [url] = process.argv.slice(2);
const repeats: (() => Promise<void>)[] = [];

function say(line: Record<string, unknown>): void {
  console.log(JSON.stringify(line, show));
}

/** What JSON does not have, with the name of its type. */
function show(this: unknown, key: string, value: unknown): unknown {
  const original = (this as Record<string, unknown>)[key];
  if (original instanceof Date) return { Date: original.toISOString() };
  if (value instanceof Uint8Array) return { bytes: [...value] };
  if (typeof value === "bigint") return { bigint: value.toString() };
  return value;
}

abstract class Echo<T extends AnyEvent> extends Listener<T> {
  readonly queueGroupName = "node-service";
  protected override ackWait = 1000;

  onMessage(data: T["data"], msg: Message): void {
    say({ heard: this.subject, data });
    repeats.push(() => this.publisher().publish(data));
    msg.ack();
  }

  protected abstract publisher(): Publisher<T>;

  protected override onError(error: unknown, msg?: Message): void {
    if (error instanceof DecodeError) {
      say({ undecodable: this.subject, reason: error.message });
    } else {
      super.onError(error, msg);
    }
  }
}

class OrderCreatedPublisher extends Publisher<OrderCreatedEvent> {
  readonly subject = Subjects.OrderCreated;
}

class OrderCreatedListener extends Echo<OrderCreatedEvent> {
  readonly subject = Subjects.OrderCreated;

  protected publisher() {
    return new OrderCreatedPublisher(this.client);
  }

  override onMessage(data: OrderCreatedEvent["data"], msg: Message): void {
    if (data.status !== OrderStatus.AwaitingPayment) {
      throw new Error(`an order that is ${data.status}`);
    }
    super.onMessage(data, msg);
  }
}

class OrderCancelledPublisher extends Publisher<OrderCancelledEvent> {
  readonly subject = Subjects.OrderCancelled;
}

class OrderCancelledListener extends Echo<OrderCancelledEvent> {
  readonly subject = Subjects.OrderCancelled;

  protected publisher() {
    return new OrderCancelledPublisher(this.client);
  }
}

class ParcelSentPublisher extends Publisher<ParcelSentEvent> {
  readonly subject = Subjects.ParcelSent;
}

class ParcelSentListener extends Echo<ParcelSentEvent> {
  readonly subject = Subjects.ParcelSent;

  protected publisher() {
    return new ParcelSentPublisher(this.client);
  }
}

class PaymentCreatedPublisher extends Publisher<PaymentCreatedEvent> {
  readonly subject = Subjects.PaymentCreated;
}

class PaymentCreatedListener extends Echo<PaymentCreatedEvent> {
  readonly subject = Subjects.PaymentCreated;

  protected publisher() {
    return new PaymentCreatedPublisher(this.client);
  }
}

const stan = connect("test-cluster", "node-service", { url: url ?? "" });

stan.on("connect", () => {
  const listeners = [
    new OrderCreatedListener(stan),
    new OrderCancelledListener(stan),
    new ParcelSentListener(stan),
    new PaymentCreatedListener(stan),
  ];
  void Promise.all(listeners.map((listener) => listener.listen())).then(() =>
    say({ listening: listeners.length }),
  );
});

createInterface({ input: process.stdin })
  .on("line", () => {
    const waiting = repeats.splice(0).map((repeat) => repeat());
    void Promise.all(waiting).then(() => say({ repeated: waiting.length }));
  })
  .on("close", () => process.exit(0));
