"""Code and documents from definitions of events: Python, TypeScript, AsyncAPI."""
