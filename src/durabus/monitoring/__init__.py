"""The HTTP port for people, tools and probes: documents about the server, as the original answers them."""
