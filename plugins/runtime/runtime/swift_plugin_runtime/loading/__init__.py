"""Loading: a checkpoint becomes config, model and processor."""
