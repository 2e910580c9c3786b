"""The control plane: the database, the API, and the sending side of the queue."""
