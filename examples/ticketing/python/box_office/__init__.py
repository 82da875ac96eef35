"""The box office: sells tickets over HTTP, beside the service `tickets`, which does it in Node."""
