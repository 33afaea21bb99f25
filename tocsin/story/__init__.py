"""The story that `tocsin demo` plays on an empty database: one night, from an alert to recovery. All of it is invented."""
