"""Sources: each maps a data set's own columns to items."""

from papo.data.sources.easy_vqa import EasyVQA
from papo.data.sources.stream import TableStream
from papo.data.sources.table import TableSource, table_source

__all__ = ["EasyVQA", "TableSource", "TableStream", "table_source"]
