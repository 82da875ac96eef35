'use strict';

/** Publishes events; the promise is kept when the bus has acknowledged the event, that is, has stored it. */
class Publisher {
  constructor(stan) {
    this.stan = stan;
  }

  publish(subject, data) {
    return new Promise((resolve, reject) => {
      this.stan.publish(subject, JSON.stringify(data), (error) => {
        if (error) reject(new Error(`${subject} was not published: ${error.message ?? error}`));
        else resolve();
      });
    });
  }
}

module.exports = { Publisher };
