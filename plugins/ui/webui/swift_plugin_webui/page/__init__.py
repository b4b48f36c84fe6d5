"""The Gradio page: a tab a module."""
