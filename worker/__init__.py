"""The compute plane: claims jobs, runs each in a process of its own, and watches over it."""
