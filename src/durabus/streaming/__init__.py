"""STAN semantics as a pure core (decide, persist, release) and the thin shell that drives it."""
