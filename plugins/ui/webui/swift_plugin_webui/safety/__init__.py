"""Who may ask the page, and which places its jobs may touch."""
