"""The HTTP API: `/v1`, OpenAPI 3.1, problems after RFC 9457."""
