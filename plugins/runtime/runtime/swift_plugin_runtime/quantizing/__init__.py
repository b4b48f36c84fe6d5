"""Quantizing: packed weights, and offline quantization with calibration rows."""
