'use strict';

/**
 * Brings the events that stand in the database to the bus.
 *
 * A service that writes to its database and then publishes can be killed between the two. So the event is written
 * together with the change, published from there, and marked as published. If an instance does not get that far, it
 * does so when it is started again; or the other instance does, when the bus brings it the message that the first one
 * left. An event may be published twice that way, never not at all; listeners know a second one by its version.
 */
class Outbox {
  constructor(database, publisher) {
    this.database = database;
    this.publisher = publisher;
    this.previous = Promise.resolve();
  }

  /** Publishes what this instance has written. */
  flush() {
    return this.#afterPrevious(() => this.#publishAll());
  }

  /** Publishes also what somebody else has written and not published. */
  recover() {
    return this.#afterPrevious(() => {
      this.database.adoptUnpublished();
      return this.#publishAll();
    });
  }

  /** One after the other, so that this instance publishes in the order in which it wrote. */
  #afterPrevious(work) {
    const done = this.previous.then(work);
    this.previous = done.catch(() => {}); // whoever asked for it hears of the failure; the next one tries again
    return done;
  }

  async #publishAll() {
    const { outgoing } = this.database;
    while (outgoing.length > 0) {
      await this.publisher.publish(outgoing[0].subject, outgoing[0].data);
      this.database.markPublished(outgoing.shift());
    }
  }
}

module.exports = { Outbox };
