'use strict';

const { Outcome } = require('./outcome');

/**
 * Listens to one subject on behalf of a service. A concrete listener has a `subject` and an `onEvent(data)` that
 * writes to `this.database` and returns an Outcome.
 *
 * How it subscribes is the whole trick:
 *   - a queue group, named like the service: each event goes to one of the instances;
 *   - a durable name: the bus remembers what the service has had, also while no instance is there;
 *   - deliver all available: a service that listens for the first time gets what was published before;
 *   - manual acknowledgement: an event counts as done when the database has it, not when it arrived. If the
 *     acknowledgement does not come within AckWait, the bus delivers the event again, to whichever instance is free.
 */
class Listener {
  constructor(service) {
    this.service = service;
    this.database = service.database;
  }

  subscriptionOptions() {
    return this.service.stan
      .subscriptionOptions()
      .setDeliverAllAvailable()
      .setManualAckMode(true)
      .setAckWait(this.service.ackWaitMs)
      .setDurableName(this.service.name);
  }

  /** Kept when the bus has confirmed the subscription. */
  listen() {
    const queueGroup = this.service.name;
    const subscription = this.service.stan.subscribe(this.subject, queueGroup, this.subscriptionOptions());
    subscription.on('message', (message) => this.#receive(message));
    return new Promise((resolve, reject) => {
      subscription.on('ready', resolve);
      subscription.on('error', reject);
      subscription.on('timeout', reject);
    });
  }

  async #receive(message) {
    const event = { subject: this.subject, sequence: message.getSequence(), redelivered: message.isRedelivered() };
    try {
      const data = JSON.parse(message.getData());
      Object.assign(event, { id: data.id, version: data.version });
      this.service.say('received', event);
      await this.service.holdIfAsked(event);
      const outcome = this.onEvent(data);
      if (event.redelivered) await this.service.outbox.recover();
      else await this.service.outbox.flush();
      if (outcome !== Outcome.EARLY) message.ack();
      this.service.say('handled', { ...event, outcome });
    } catch (error) {
      this.service.say('failed', { ...event, error: error.message }); // not acknowledged, so it will come again
    }
  }
}

module.exports = { Listener };
