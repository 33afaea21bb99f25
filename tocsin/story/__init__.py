"""The story that `tocsin demo` plays on an empty database: one night, from alert to recovery. All of it is invented."""
