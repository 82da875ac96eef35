'use strict';

/**
 * What became of an event. The bus delivers at least once and a queue group has no order, so besides the good case
 * a service meets events that it has already had and events whose predecessor it has not seen yet.
 */
exports.Outcome = Object.freeze({
  APPLIED: 'applied', // new, and now in the database: acknowledge
  KNOWN: 'known', //     had it already, nothing to do: acknowledge
  EARLY: 'early', //     an earlier version is still missing: do not acknowledge, the bus brings it again
});
