"""I/O without vendors: TCP and TLS, websockets, HTTP both ways, tokens. Foreign errors are mapped here."""
