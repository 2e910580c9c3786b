"""What the pages of experiments are made of: the plan, the matrix of runs, the report."""
