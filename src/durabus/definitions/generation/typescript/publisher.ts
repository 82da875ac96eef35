import type { Stan } from "node-nats-streaming";

import { codecs } from "./codecs";
import type { AnyEvent } from "./events";

/**
 * Publishes events of one type:
 *
 *     class TicketCreatedPublisher extends Publisher<TicketCreatedEvent> {
 *       readonly subject = Subjects.TicketCreated;
 *     }
 *     await new TicketCreatedPublisher(stan).publish({ ... });
 */
export abstract class Publisher<T extends AnyEvent> {
  abstract readonly subject: T["subject"];

  constructor(protected readonly client: Stan) {}

  /**
   * Kept when the bus has stored the event. Rejected with EncodeError when the definition does not allow the data,
   * and with the error of the client library when the bus did not acknowledge it.
   */
  async publish(data: T["data"]): Promise<void> {
    await publishPayload(
      this.client,
      this.subject,
      codecs[this.subject].encode(data),
    );
  }
}

/** Kept when the bus has stored the payload. */
export function publishPayload(
  client: Stan,
  channel: string,
  payload: Uint8Array,
): Promise<void> {
  return new Promise((resolve, reject) => {
    client.publish(channel, Buffer.from(payload), (error) => {
      if (error) {
        reject(error instanceof Error ? error : new Error(String(error)));
      } else {
        resolve();
      }
    });
  });
}
