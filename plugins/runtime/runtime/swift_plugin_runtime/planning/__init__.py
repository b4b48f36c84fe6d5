"""What a job will take, from its card, config and options: no weights are read."""
