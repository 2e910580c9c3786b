"""The parts of the compare page: the choice, the curves of methods, the table."""
