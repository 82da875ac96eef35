"""Bytes to values and back: the NATS text protocol and the STAN messages. No I/O, no clock, nothing else of ours."""
