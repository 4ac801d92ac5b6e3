"""Sources: each maps a data set's own columns to items."""

from papo.data.sources.easy_vqa import EasyVQA
from papo.data.sources.split import TableSource, table_source
from papo.data.sources.stream import TableStream

__all__ = ["EasyVQA", "TableSource", "TableStream", "table_source"]
