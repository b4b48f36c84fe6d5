"""Answers from a model in this process, for inference and for rollouts."""
