"""The commands: `durabus` with its sub-commands, and `nats-streaming-server`, the original's command line."""
