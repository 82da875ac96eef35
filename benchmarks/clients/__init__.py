"""Compares client libraries on the same server: this project's, and those of NATS Streaming Server for Node and Python."""
