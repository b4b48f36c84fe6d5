"""Encoding: rows become token ids, labels and media tensors."""
