"""The YAML kinds, the catalog of all of them, and the facts of a trace. Frozen values, no I/O."""
