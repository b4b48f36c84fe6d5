"""What the jobs do, counted."""
