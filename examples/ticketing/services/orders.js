'use strict';

const { Listener } = require('../common/listener');
const { Outcome } = require('../common/outcome');
const { serve } = require('../common/service');
const { Subjects } = require('../common/subjects');

/**
 * Orders: who wants which ticket, and whether it was paid in time. Its documents:
 *   tickets  { id, version, title, price, userId, orderId }             a copy, kept up to date by events
 *   orders   { id, version, status, userId, expiresAt, ticket }         status: created, then complete or cancelled
 */

const TIME_TO_PAY_S = 15 * 60;

// What an event does to the database. Listeners use these functions, and so does --rebuild.

function ticketChanged(database, ticket) {
  return database.apply('tickets', ticket);
}

/** Our own event, so in normal times we know it already. */
function orderCreated(database, order) {
  return database.apply('orders', order);
}

/** Our own event, too. */
function orderCancelled(database, { id, version }) {
  const order = database.latest('orders', id);
  return order ? database.apply('orders', { ...order, version, status: 'cancelled' }) : Outcome.EARLY;
}

/** A payment that comes after the order was cancelled changes nothing; a real shop would pay it back. */
function orderPaid(database, { orderId }) {
  if (!database.latest('orders', orderId)) return Outcome.EARLY;
  const complete = (order) => (order.status === 'created' ? { status: 'complete' } : null);
  return database.update('orders', orderId, complete) ? Outcome.APPLIED : Outcome.KNOWN;
}

class TicketCreatedListener extends Listener {
  subject = Subjects.TicketCreated;

  onEvent(ticket) {
    return ticketChanged(this.database, ticket);
  }
}

class TicketUpdatedListener extends Listener {
  subject = Subjects.TicketUpdated;

  onEvent(ticket) {
    return ticketChanged(this.database, ticket);
  }
}

/** The time to pay is over: whoever has not paid by now loses the ticket. */
class ExpirationCompleteListener extends Listener {
  subject = Subjects.ExpirationComplete;

  onEvent({ orderId }) {
    if (!this.database.latest('orders', orderId)) return Outcome.EARLY;
    const cancel = (order) => (order.status === 'created' ? { status: 'cancelled' } : null);
    const cancelledEvent = ({ id, version, userId, ticket }) => {
      return { subject: Subjects.OrderCancelled, data: { id, version, userId, ticket } };
    };
    const cancelled = this.database.update('orders', orderId, cancel, cancelledEvent);
    return cancelled ? Outcome.APPLIED : Outcome.KNOWN;
  }
}

class PaymentCreatedListener extends Listener {
  subject = Subjects.PaymentCreated;

  onEvent(payment) {
    return orderPaid(this.database, payment);
  }
}

/** {"do": "create_order", "ticketId": "...", "userId": "ben", "secondsToPay": 900} */
function createOrder({ ticketId, userId, secondsToPay = TIME_TO_PAY_S }, { database }) {
  const ticket = database.latest('tickets', ticketId);
  if (!ticket) throw new Error('there is no such ticket');
  if (ticket.orderId !== null) throw new Error('the ticket is reserved');
  const order = {
    // Reserving a ticket gives it a new version, so a version is ordered once at most: the second who tries,
    // even at the other instance and in the same moment, finds an order with this id.
    id: `${ticket.id}-${ticket.version}`,
    version: 1,
    status: 'created',
    userId,
    expiresAt: new Date(Date.now() + 1000 * secondsToPay).toISOString(),
    ticket: { id: ticket.id, title: ticket.title, price: ticket.price },
  };
  const isFirst = database.append('orders', order, { subject: Subjects.OrderCreated, data: order });
  if (!isFirst) throw new Error('the ticket is reserved');
  return order;
}

serve({
  name: 'orders',
  listeners: [TicketCreatedListener, TicketUpdatedListener, ExpirationCompleteListener, PaymentCreatedListener],
  commands: { create_order: createOrder },
  // All that this service knows can be learned from the bus again. What an order became is decided by our own word:
  // cancelled orders come before payments.
  chapters: [
    [Subjects.TicketCreated, ticketChanged],
    [Subjects.TicketUpdated, ticketChanged],
    [Subjects.OrderCreated, orderCreated],
    [Subjects.OrderCancelled, orderCancelled],
    [Subjects.PaymentCreated, orderPaid],
  ],
});
