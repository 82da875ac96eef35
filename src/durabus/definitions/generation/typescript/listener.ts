import type {
  Message,
  Stan,
  Subscription,
  SubscriptionOptions,
} from "node-nats-streaming";

import { DecodeError } from "./codec";
import { codecs } from "./codecs";
import type { AnyEvent } from "./events";
import { publishPayload } from "./publisher";

/**
 * Listens to events of one type, as one of a group of which each event reaches one member:
 *
 *     class TicketCreatedListener extends Listener<TicketCreatedEvent> {
 *       readonly subject = Subjects.TicketCreated;
 *       readonly queueGroupName = "orders-service";
 *
 *       async onMessage(data: TicketCreatedEvent["data"], msg: Message) {
 *         await Ticket.build(data).save();
 *         msg.ack();
 *       }
 *     }
 *     new TicketCreatedListener(stan).listen();
 *
 * An event that is not acknowledged within `ackWait` is delivered again, to whichever member is free.
 */
export abstract class Listener<T extends AnyEvent> {
  abstract readonly subject: T["subject"];
  abstract readonly queueGroupName: string;

  /** How long the bus waits for `msg.ack()` before it delivers an event again, in milliseconds. */
  protected ackWait = 5 * 1000;

  constructor(protected readonly client: Stan) {}

  /** Called with each event; a promise is waited for. Call `msg.ack()` when the event has been dealt with. */
  abstract onMessage(data: T["data"], msg: Message): unknown;

  /** The bus remembers under this name what the group has had. */
  protected get durableName(): string {
    return this.queueGroupName;
  }

  subscriptionOptions(): SubscriptionOptions {
    return this.client
      .subscriptionOptions()
      .setDeliverAllAvailable()
      .setManualAckMode(true)
      .setAckWait(this.ackWait)
      .setDurableName(this.durableName);
  }

  /** Subscribe. The promise is kept when the bus has confirmed it, and may be left alone: errors go to `onError` too. */
  listen(): Promise<Subscription> {
    const subscription = this.client.subscribe(
      this.subject,
      this.queueGroupName,
      this.subscriptionOptions(),
    );
    subscription.on("message", (msg: Message) => void this.receive(msg));
    const ready = new Promise<Subscription>((resolve, reject) => {
      const fail = (error: unknown) => {
        this.onError(error);
        reject(error instanceof Error ? error : new Error(String(error)));
      };
      subscription.on("ready", () => resolve(subscription));
      subscription.on("error", fail);
      subscription.on("timeout", fail);
    });
    ready.catch(() => undefined);
    return ready;
  }

  /** The channel for what does not decode: that of the subject with `.dead-letters` behind it, as in Python. */
  protected get deadLetters(): string {
    return `${this.subject}.dead-letters`;
  }

  /**
   * Called with what is no such event. It would not become one by being delivered again, so it is told, published byte
   * for byte to `deadLetters`, and acknowledged when it is there; until then it comes again. Override this for another
   * place; a promise is waited for.
   */
  protected onUndecodable(error: DecodeError, msg: Message): unknown {
    this.onError(error, msg);
    return publishPayload(this.client, this.deadLetters, msg.getRawData()).then(
      () => msg.ack(),
    );
  }

  /** Called with whatever goes wrong. An event whose `onMessage` failed is not acknowledged, so it comes again. */
  protected onError(error: unknown, msg?: Message): void {
    const where = msg ? `${this.subject} #${msg.getSequence()}` : this.subject;
    console.error(`${this.queueGroupName}: ${where}:`, error);
  }

  private async receive(msg: Message): Promise<void> {
    try {
      let data: unknown;
      try {
        data = codecs[this.subject].decode(msg.getRawData());
      } catch (error) {
        if (!(error instanceof DecodeError)) throw error;
        await this.onUndecodable(error, msg);
        return;
      }
      await this.onMessage(data as T["data"], msg);
    } catch (error) {
      this.onError(error, msg);
    }
  }
}
