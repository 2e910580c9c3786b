"""The parts of `entromask.resources`, from where everything else takes them."""
