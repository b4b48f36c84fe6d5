"""Optimizing: parameter groups, and steps taken layer by layer."""
