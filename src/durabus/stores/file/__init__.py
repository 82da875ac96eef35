"""The FILE store: one journal of segments for everything (FORMAT.md)."""
