"""Local stand-ins for the outside world: a Twilio-speaking HTTP server and an SMTP server.

They speak the real protocols, so the real ``twilio`` SDK and the real ``aiosmtplib`` talk to them, and
they keep every message they accept in an outbox that outlives any process. They serve the demo, the
tests and development. Nothing they accept ever leaves the machine, except signed status callbacks to
the address the sender itself named.
"""
