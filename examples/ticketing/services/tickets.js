'use strict';

const crypto = require('node:crypto');
const { Listener } = require('../common/listener');
const { Outcome } = require('../common/outcome');
const { serve } = require('../common/service');
const { Subjects } = require('../common/subjects');

/**
 * Tickets: what is on sale. Its documents:
 *   tickets  { id, version, title, price, userId, orderId }   orderId: the order it is reserved for, or null
 *   orders   { id, version }                                  how far we have followed each order
 */

const ticketUpdated = (ticket) => ({ subject: Subjects.TicketUpdated, data: ticket });

/** An order reserves its ticket. */
class OrderCreatedListener extends Listener {
  subject = Subjects.OrderCreated;

  onEvent(order) {
    const outcome = this.database.judge('orders', order);
    if (outcome !== Outcome.APPLIED) return outcome;
    const reserve = (ticket) => (ticket.orderId === null ? { orderId: order.id } : null);
    this.database.update('tickets', order.ticket.id, reserve, ticketUpdated);
    return this.database.apply('orders', { id: order.id, version: order.version });
  }
}

/** A cancelled order sets its ticket free. */
class OrderCancelledListener extends Listener {
  subject = Subjects.OrderCancelled;

  onEvent(order) {
    const outcome = this.database.judge('orders', order);
    if (outcome !== Outcome.APPLIED) return outcome;
    const setFree = (ticket) => (ticket.orderId === order.id ? { orderId: null } : null);
    this.database.update('tickets', order.ticket.id, setFree, ticketUpdated);
    return this.database.apply('orders', { id: order.id, version: order.version });
  }
}

/** {"do": "create_ticket", "title": "Concert", "price": 20, "userId": "anna"} */
function createTicket({ title, price, userId }, { database }) {
  const ticket = { id: crypto.randomBytes(4).toString('hex'), version: 1, title, price, userId, orderId: null };
  database.append('tickets', ticket, { subject: Subjects.TicketCreated, data: ticket });
  return ticket;
}

/** {"do": "update_ticket", "id": "...", "price": 25} */
function updateTicket({ id, price }, { database }) {
  if (!database.latest('tickets', id)) throw new Error('there is no such ticket');
  const setPrice = (ticket) => (ticket.orderId === null ? { price } : null);
  const ticket = database.update('tickets', id, setPrice, ticketUpdated);
  if (!ticket) throw new Error('the ticket is reserved');
  return ticket;
}

serve({
  name: 'tickets',
  listeners: [OrderCreatedListener, OrderCancelledListener],
  commands: { create_ticket: createTicket, update_ticket: updateTicket },
});
