"""Import this to write empty plots (see `tests.plots`) in a process of commands."""

from tests.plots import replace_plots

replace_plots()
