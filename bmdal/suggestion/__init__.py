"""Two tables in, the rows to label next out: `bmdal.suggest` and the command `python -m bmdal suggest`."""

from bmdal.suggestion.suggest import Suggestion, suggest

__all__ = ["Suggestion", "suggest"]
