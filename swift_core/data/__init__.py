"""Data: readers of files, and the conversion of what they read into rows."""
