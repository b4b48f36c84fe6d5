"""The contract: hooks, kinds, and the words that they are written in. It imports nothing else of swift-core."""
