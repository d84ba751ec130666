"""One table of cases per family of primitives."""
