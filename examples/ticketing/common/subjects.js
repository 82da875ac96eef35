'use strict';

/** Everything the services ever say to each other. */
exports.Subjects = Object.freeze({
  TicketCreated: 'ticket:created', //           tickets: a ticket is on sale
  TicketUpdated: 'ticket:updated', //           tickets: its price changed, or it was reserved or set free
  OrderCreated: 'order:created', //             orders: somebody wants a ticket and has until `expiresAt` to pay
  OrderCancelled: 'order:cancelled', //         orders: nobody paid in time
  ExpirationComplete: 'expiration:complete', // expiration: the time to pay is over
  PaymentCreated: 'payment:created', //         payments: an order is paid
});
