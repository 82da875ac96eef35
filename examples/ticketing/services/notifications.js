'use strict';

const { Listener } = require('../common/listener');
const { serve } = require('../common/service');
const { Subjects } = require('../common/subjects');

/**
 * Notifications: tells people by mail what happened. Its documents:
 *   mails  { id, version, to, text }   id says what the mail is about, so nobody gets a mail twice
 */

class MailingListener extends Listener {
  onEvent(data) {
    const { about, text } = this.write(data);
    return this.database.apply('mails', { id: about, version: 1, to: data.userId, text });
  }
}

class OrderCreatedListener extends MailingListener {
  subject = Subjects.OrderCreated;

  write({ id, ticket }) {
    const text = `Your ticket "${ticket.title}" is reserved. Please pay ${ticket.price}.`;
    return { about: `order ${id} received`, text };
  }
}

class OrderCancelledListener extends MailingListener {
  subject = Subjects.OrderCancelled;

  write({ id, ticket }) {
    const text = `Your ticket "${ticket.title}" was not paid in time.`;
    return { about: `order ${id} cancelled`, text };
  }
}

class PaymentCreatedListener extends MailingListener {
  subject = Subjects.PaymentCreated;

  write({ orderId, price }) {
    const text = `Thank you, we have received ${price}.`;
    return { about: `order ${orderId} paid`, text };
  }
}

serve({
  name: 'notifications',
  listeners: [OrderCreatedListener, OrderCancelledListener, PaymentCreatedListener],
});
