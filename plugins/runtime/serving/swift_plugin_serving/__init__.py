"""Serving: an engine behind HTTP, and engines that stand behind HTTP elsewhere."""
