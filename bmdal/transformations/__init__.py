"""Transformations of kernels: scaling, posteriors, sketches, ensembles, ACS kernels."""

from bmdal.transformations.acs import (
    AcsGradient,
    AcsRandomFeatures,
    AcsRandomFeaturesHyper,
    AcsRandomFeaturesPaper,
)
from bmdal.transformations.base import Fitted, Transformation
from bmdal.transformations.ensemble import Ensemble
from bmdal.transformations.sketch import RandomProjection
from bmdal.transformations.train import Scale, Train

__all__ = [
    "AcsGradient",
    "AcsRandomFeatures",
    "AcsRandomFeaturesHyper",
    "AcsRandomFeaturesPaper",
    "Ensemble",
    "Fitted",
    "RandomProjection",
    "Scale",
    "Train",
    "Transformation",
]
