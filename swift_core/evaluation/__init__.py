"""Evaluation: data sets to measure on, metrics, rewards, and reports."""
