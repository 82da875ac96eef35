"""The story of the ticket shop: nine services, one bus, nine things that must go right, checked one by one."""
