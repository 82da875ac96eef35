"""Tools for tests, shipped so that a store of somebody else can be tested as ours are: a conformance suite and faults."""
