"""The data sets in conf/dataset/, one YAML file each, composed with Hydra as in the benchmark."""

from __future__ import annotations

from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from hydra.utils import instantiate
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from cli.options import unknown
from cli.types import check_fields
from data_prep.dataset import DataSet
from data_prep.errors import DataError

CONF = Path(__file__).parent.parent / "conf"


def names(conf: Path = CONF) -> list[str]:
    """Return the names of all data sets in conf/dataset, in alphabetical order."""
    return sorted(path.stem for path in (conf / "dataset").glob("*.yaml"))


def load_dataset(name: str, conf: Path = CONF) -> DataSet:
    """Load the description in conf/dataset/<name>.yaml.

    Raises DataError if there is none (the message lists the valid names and the closest one), or if it does not
    describe a DataSet of that name.
    """
    if name not in names(conf):
        raise DataError(unknown("data set", name, [*names(conf), "all"]))
    path = conf / "dataset" / f"{name}.yaml"
    check_name(path)
    try:
        with initialize_config_dir(str(conf.resolve()), version_base="1.3"):
            dataset = instantiate(compose(overrides=[f"+dataset={name}"]).dataset)
        check_fields(dataset, name)
    except (HydraException, OmegaConfBaseException, YAMLError, TypeError) as error:
        raise DataError(f"{path}: {error.__cause__ or error}") from error
    if not isinstance(dataset, DataSet):
        raise DataError(f"{path}: must describe a data set; begin it with `_target_: data_prep.DataSet`")
    return dataset


def check_name(path: Path) -> None:
    """Raise DataError unless the data set has the name of its file, by which it is found."""
    try:
        name = OmegaConf.select(OmegaConf.load(path), "name")
    except YAMLError as error:
        raise DataError(f"{path}: {error}") from error
    if name != path.stem:
        raise DataError(f"{path}: its name is {name!r}; write `name: {path.stem}`, like the file")
