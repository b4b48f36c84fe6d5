"""The version of the kernel; the same as in pyproject.toml, said here because reading metadata costs 30 ms."""

__version__ = "0.2.0"
