'use strict';

const crypto = require('node:crypto');
const { Listener } = require('../common/listener');
const { Outcome } = require('../common/outcome');
const { serve } = require('../common/service');
const { Subjects } = require('../common/subjects');

/**
 * Payments: takes the money. Its documents:
 *   orders    { id, version, status, userId, price }   a copy of what it has to know about an order
 *   payments  { id, version, chargeId, userId, price } id is the order's, so an order is paid once at most
 */

class OrderCreatedListener extends Listener {
  subject = Subjects.OrderCreated;

  onEvent({ id, version, status, userId, ticket }) {
    return this.database.apply('orders', { id, version, status, userId, price: ticket.price });
  }
}

class OrderCancelledListener extends Listener {
  subject = Subjects.OrderCancelled;

  onEvent({ id, version }) {
    const order = this.database.latest('orders', id);
    return order ? this.database.apply('orders', { ...order, version, status: 'cancelled' }) : Outcome.EARLY;
  }
}

/** {"do": "pay", "orderId": "...", "userId": "ben"} */
function pay({ orderId, userId }, { database }) {
  const order = database.latest('orders', orderId);
  if (!order) throw new Error('there is no such order');
  if (order.userId !== userId) throw new Error('the order is somebody else\'s');
  if (order.status === 'cancelled') throw new Error('the order was cancelled');
  const chargeId = crypto.randomBytes(4).toString('hex'); // here a real shop asks the bank
  const payment = { id: orderId, version: 1, chargeId, userId, price: order.price };
  const event = { subject: Subjects.PaymentCreated, data: { id: chargeId, orderId, userId, price: order.price } };
  if (!database.append('payments', payment, event)) throw new Error('the order is paid already');
  return payment;
}

serve({
  name: 'payments',
  listeners: [OrderCreatedListener, OrderCancelledListener],
  commands: { pay },
});
