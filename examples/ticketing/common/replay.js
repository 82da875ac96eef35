'use strict';

const { Outcome } = require('./outcome');

/** How long a channel must stay silent until we believe that nothing was ever published on it. */
const EMPTY_CHANNEL_MS = 1000;

/**
 * Rebuilds a database from the bus alone. `chapters` is a list of [subject, apply]; each channel is read from its
 * first message to its last one and handed to `apply(database, data)`, in the order of the list.
 *
 * The subscriptions used here are not durable and in no queue group: reading a channel again disturbs nobody, and the
 * durable of the service stays where it is.
 */
async function rebuild(stan, database, chapters) {
  const report = {};
  for (const [subject, apply] of chapters) {
    const events = await readChannel(stan, subject);
    report[subject] = { first: events.at(0)?.sequence, last: events.at(-1)?.sequence, read: events.length };
    report[subject].unused = applyInAnyOrder(events, (data) => apply(database, data));
  }
  return report;
}

/** The versions may stand in a channel out of order: go over those that came too early until nothing moves. */
function applyInAnyOrder(events, apply) {
  let waiting = events;
  for (;;) {
    const early = waiting.filter(({ data }) => apply(data) === Outcome.EARLY);
    if (early.length === 0 || early.length === waiting.length) return early.length;
    waiting = early;
  }
}

/** All events of a channel from the first one to the one that is the last one now. */
async function readChannel(stan, subject) {
  const last = await lastSequence(stan, subject);
  const events = [];
  if (last === 0) return events;
  const options = stan.subscriptionOptions().setDeliverAllAvailable();
  await subscribeUntil(stan, subject, options, (message) => {
    const sequence = message.getSequence();
    if (sequence <= last) events.push({ sequence, data: JSON.parse(message.getData()) });
    return sequence >= last;
  });
  return events;
}

/** The sequence of the last message of a channel; 0 if it has none. */
async function lastSequence(stan, subject) {
  let last = 0;
  const options = stan.subscriptionOptions().setStartWithLastReceived();
  const found = (message) => {
    last = message.getSequence();
    return true;
  };
  await subscribeUntil(stan, subject, options, found, EMPTY_CHANNEL_MS);
  return last;
}

/** Subscribes until `isEnough(message)`, or until nothing has come for `silenceMs` after the subscription began. */
function subscribeUntil(stan, subject, options, isEnough, silenceMs = null) {
  return new Promise((resolve, reject) => {
    const subscription = stan.subscribe(subject, options);
    let silence = null;
    let isReady = false;
    let isDone = false;
    const closeWhenDone = () => {
      if (isReady && isDone) subscription.close();
    };
    const finish = () => {
      clearTimeout(silence);
      isDone = true;
      closeWhenDone();
    };
    subscription.on('ready', () => {
      isReady = true;
      if (silenceMs !== null && !isDone) silence = setTimeout(finish, silenceMs);
      closeWhenDone();
    });
    subscription.on('message', (message) => {
      if (!isDone && isEnough(message)) finish();
    });
    subscription.on('closed', resolve);
    subscription.on('error', reject);
    subscription.on('timeout', reject);
  });
}

module.exports = { rebuild };
