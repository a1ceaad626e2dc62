"""Container engines behind one protocol. Nothing outside this package imports the Docker SDK."""
