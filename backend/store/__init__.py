"""What is done with the tables: every query of the API and the workers, by subject."""
