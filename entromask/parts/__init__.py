"""The parts of a spec: which keys each has, their limits, defaults and meanings."""
