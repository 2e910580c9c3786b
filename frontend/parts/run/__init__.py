"""The parts of a run's page: its head, curves, scores, events, spec and files."""
