"""Tuning: adapters attached, saved, merged and switched."""
