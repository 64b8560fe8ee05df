"""A finished comparison as one page: `write(folder)` makes report.html from what the folder holds."""

from pathlib import Path

from report import page, results

__all__ = ["page", "results", "write"]


def write(folder):
    """Makes FOLDER/report.html from the results in it, and returns its path."""
    path = Path(folder, "report.html")
    page.write(results.load(folder), path)
    return path
