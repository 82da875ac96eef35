"""Durabus: a durable event bus, the maintained successor of NATS Streaming Server."""
