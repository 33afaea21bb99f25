"""What comes back by mail: reports of failure and delay, complaints, automatic answers."""
