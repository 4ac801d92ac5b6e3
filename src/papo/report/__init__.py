"""report.html: an evaluation as one page that opens from a file, with tables, plots and every answered item."""

from papo.report.content import GradedResponse, Plot, PlotRow, Report, ReportItem, ReportTable
from papo.report.page import write_report

__all__ = ["GradedResponse", "Plot", "PlotRow", "Report", "ReportItem", "ReportTable", "write_report"]
