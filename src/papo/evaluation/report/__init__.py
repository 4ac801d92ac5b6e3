"""report.html: an evaluation as one page that opens from a file, with tables, plots and every answered item."""

from papo.evaluation.report.content import Plot, PlotRow, Report, ReportItem, Table
from papo.evaluation.report.page import write_report

__all__ = ["Plot", "PlotRow", "Report", "ReportItem", "Table", "write_report"]
