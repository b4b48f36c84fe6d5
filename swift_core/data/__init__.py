"""Data: the standard row, the data set syntax, readers of local files, and conversion into rows."""

from swift_core.data.row import Row
from swift_core.data.syntax import Source

__all__ = ["Row", "Source"]
