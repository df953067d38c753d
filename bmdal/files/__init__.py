"""Features of points in a file."""

from bmdal.files.blocks import in_chunks as in_chunks
from bmdal.files.read import FLOATS as FLOATS
from bmdal.files.read import mapped as mapped
from bmdal.files.read import origin_of as origin_of
from bmdal.files.read import read_features as read_features
from bmdal.files.write import MOST_LOST as MOST_LOST
from bmdal.files.write import write_blocks as write_blocks
from bmdal.files.write import write_features as write_features
