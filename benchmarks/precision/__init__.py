"""What each way to hold 16-bit weights learns and costs, ours and those of the peers."""
