"""Contestants that run in environments of their own, where `swift` is not ours."""
