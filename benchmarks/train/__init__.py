"""Training against the limit loop and peers."""
