"""What the user asks for, as one frozen Options value: flags in Go's grammar, units, defaults and their checks."""
