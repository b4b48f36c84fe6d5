"""Model families: the card of facts, and the way from a model id to its family."""

from swift_core.models.card import Checkpoint, Family, Modules

__all__ = ["Checkpoint", "Family", "Modules"]
