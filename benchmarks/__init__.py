"""Benchmarks of Durabus beside its peers: `python -m benchmarks --help`. Imports nothing of the package under test."""
