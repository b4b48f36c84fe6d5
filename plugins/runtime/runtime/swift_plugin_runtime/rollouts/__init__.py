"""Rollouts: answers drawn with the policy under training."""
