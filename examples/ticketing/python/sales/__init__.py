"""Sales: what was ordered, paid and used, for each ticket. A read model, made of nothing but what is on the bus."""
