"""The version of the kernel, from its package metadata."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("swift-core")
except PackageNotFoundError:  # run from a source tree that is not installed
    __version__ = "0+unknown"
