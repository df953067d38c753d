"""Figures and the HTML report, drawn from run records."""

import cli as cli  # first: it looks after Ctrl-C while the rest is imported
