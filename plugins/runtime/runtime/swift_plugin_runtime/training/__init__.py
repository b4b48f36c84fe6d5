"""Training: transformers' Trainer, its arguments, its loss and its checkpoints."""
