"""The members of a model, such as the trees of a forest, and what each of them predicts."""

from bmdal.members.dropout import MCDropout
from bmdal.members.find import Members, members
from bmdal.members.virtual_ensembles import VirtualEnsembles

__all__ = ["MCDropout", "Members", "VirtualEnsembles", "members"]
