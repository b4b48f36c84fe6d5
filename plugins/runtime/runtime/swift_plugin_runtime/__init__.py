"""The transformers runtime that other plugins may build on. Modules import torch; this one does not."""
