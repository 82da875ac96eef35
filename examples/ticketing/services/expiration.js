'use strict';

const { Listener } = require('../common/listener');
const { serve } = require('../common/service');
const { Subjects } = require('../common/subjects');

/**
 * Expiration: says when the time to pay for an order is over, whatever became of the order. Its documents:
 *   deadlines  { id, version, expiresAt, isOver }   id is the order's
 */

const LOOK_EVERY_MS = 100;

class OrderCreatedListener extends Listener {
  subject = Subjects.OrderCreated;

  onEvent({ id, version, expiresAt }) {
    return this.database.apply('deadlines', { id, version, expiresAt, isOver: false });
  }
}

/**
 * The deadlines stand in the database and not in timers, so no restart can lose one. Both instances look; `update`
 * sees to it that one of them finds a deadline over.
 */
async function announceDeadlines({ database, outbox }) {
  const now = new Date().toISOString();
  const due = database.all('deadlines').filter(({ isOver, expiresAt }) => !isOver && expiresAt <= now);
  for (const { id } of due) {
    const end = (deadline) => (deadline.isOver ? null : { isOver: true });
    database.update('deadlines', id, end, () => ({ subject: Subjects.ExpirationComplete, data: { orderId: id } }));
  }
  if (due.length > 0) await outbox.flush();
}

function watchDeadlines(service) {
  const look = () => announceDeadlines(service).catch((error) => service.say('failed', { error: error.message }));
  setInterval(look, LOOK_EVERY_MS);
}

serve({
  name: 'expiration',
  listeners: [OrderCreatedListener],
  start: watchDeadlines,
});
