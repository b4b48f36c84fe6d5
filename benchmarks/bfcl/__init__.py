"""Agents measured on the Berkeley Function Calling Leaderboard, with and without the loss scale."""
