"""The conformance levels: how far each family is proven offline, on tiny random models of its real class.

The highest, `weights`, is that of a family of which a package holds a published checkpoint.

`python -m swift_testing.conformance` proves every installed family and writes results.json.
"""

LEVELS = ("card", "template", "model", "media", "weights")
"""In ascending order; a family's result is the highest level all of whose checks ran and passed."""
