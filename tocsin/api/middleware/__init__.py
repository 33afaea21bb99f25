"""What every request passes on its way in and out, as plain ASGI (streams stay streams)."""
