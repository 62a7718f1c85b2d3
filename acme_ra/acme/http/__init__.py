"""HTTP/1.1 as the edge serves it: requests, answers, connections and the server that owns them (RFC 9110, RFC 9112)."""
