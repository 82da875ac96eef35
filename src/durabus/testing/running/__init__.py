"""A real bus in the process of a test, for the tests of services: what `durabus.testing.bus` starts."""
