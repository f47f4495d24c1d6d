"""A policy pack: rules that every resource of every stack satisfies. Tests run the same rules without an engine."""
