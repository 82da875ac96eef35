"""Definitions of events outside any one language: read from JSON Schema, Protobuf or Avro, compared, exported, and made into code."""
