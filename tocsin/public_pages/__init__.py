"""Pages for everybody who got a notice, or something that looks like one: no key, no script, no cookie."""
