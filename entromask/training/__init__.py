"""The pretraining loop, its state and its checkpoints."""
