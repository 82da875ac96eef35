"""The story of the ticket shop: five Node services, one bus, six things that must go right, checked one by one."""
