"""Selection methods: choose the pool points to label next, given their features."""

from bmdal.selection.bait import BaitForward, BaitForwardBackward
from bmdal.selection.base import Mode, Outcomes, Selection, SelectionProblem
from bmdal.selection.epig import EPIG
from bmdal.selection.frank_wolfe import FrankWolfe
from bmdal.selection.herding import MaxHerding, UHerding
from bmdal.selection.igs import IGS
from bmdal.selection.kmeanspp import KMeansPP
from bmdal.selection.lcmd import LCMD
from bmdal.selection.maxdet import MaxDet
from bmdal.selection.maxdist import MaxDist
from bmdal.selection.rpcholesky import RPCholesky
from bmdal.selection.simple import MaxDiag, Power, Random

__all__ = [
    "EPIG",
    "IGS",
    "LCMD",
    "BaitForward",
    "BaitForwardBackward",
    "FrankWolfe",
    "KMeansPP",
    "MaxDet",
    "MaxDiag",
    "MaxDist",
    "MaxHerding",
    "Mode",
    "Outcomes",
    "Power",
    "RPCholesky",
    "Random",
    "Selection",
    "SelectionProblem",
    "UHerding",
]
