"""Jobs in the background: each a process of its own with a folder that tells all about it."""
