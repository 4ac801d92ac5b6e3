"""report.html: an evaluation as one page that opens from a file, with tables, plots and every answered item."""

from papo.report.content import Drops, GradedResponse, Plot, PlotRow, Report, ReportItem, ReportPicture, ReportTable
from papo.report.page import write_report

__all__ = [
    "Drops",
    "GradedResponse",
    "Plot",
    "PlotRow",
    "Report",
    "ReportItem",
    "ReportPicture",
    "ReportTable",
    "write_report",
]
