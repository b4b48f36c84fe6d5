"""The conformance ladder: how far each family is proven offline, on tiny random models of its real class.

`python -m swift_testing.conformance` climbs it for every installed family and writes results.json.
"""

RUNGS = ("card", "template", "model", "media")
"""In ascending order; a family's result is the highest rung all of whose checks ran and passed."""
