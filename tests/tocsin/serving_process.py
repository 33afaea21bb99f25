"""A process that serves a database and says so: for tests that kill it."""

from __future__ import annotations

import sys

from tocsin.instance import only_instance

if __name__ == "__main__":
    with only_instance(sys.argv[1]) as instance:
        print("held", instance.fault(), flush=True)
        sys.stdin.read()
