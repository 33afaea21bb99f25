"""A process that has a database alone, or shares it, and says so: for tests that kill it."""

from __future__ import annotations

import sys

from tocsin.instance import one_of_many, only_instance

if __name__ == "__main__":
    with {"alone": only_instance, "shared": one_of_many}[sys.argv[1]](sys.argv[2]):
        print("held", flush=True)
        sys.stdin.read()
