"""Core NATS: sessions, subjects, routing. Knows nothing of STAN."""
