"""The parts of the submit page: the draft, its form, its YAML, what it will cost."""
