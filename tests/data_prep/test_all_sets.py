"""`python -m data_prep dataset=all`, from a server that has everything to a machine without a network."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import yaml
from local_server import LocalServer, ok
from openml_files import as_arff, description, table
from published import sarcos, uci
from warm_python import warm_python

from results.published import PUBLISHED_DATASETS

ROOT = Path(__file__).resolve().parents[2]


def checkout_with_addresses_at(server: LocalServer, folder: Path) -> None:
    """Package and descriptions, the addresses moved to the local server, which gets small files to serve."""
    for package in ("cli", "data_prep"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "conf/dataset").mkdir(parents=True)
    shutil.copy(ROOT / "conf/data_prep.yaml", folder / "conf")
    for name in ("friedman", *PUBLISHED_DATASETS):  # without those that a user has added
        described = yaml.safe_load((ROOT / f"conf/dataset/{name}.yaml").read_text())
        source = described["source"]
        if source["_target_"] == "data_prep.Download":
            content = sarcos()[0] if name == "sarcos" else uci(name).zip()
            path = "/" + source["addresses"][0].split("://")[1].partition("/")[2]
            source["addresses"] = [server.add(path, ok(content))]
            source.pop("content_hash", None)  # of the published file, which this is not
        elif source["_target_"] == "data_prep.OpenML":
            arff = as_arff(table(name))
            address = server.add(f"/{name}.arff", ok(arff))
            server.add(f"/xml/data/{source['id']}", ok(description(source["id"], arff, address, None)))
            source |= {"servers": [f"{server.address}/xml"], "mirrors": []}
            source.pop("bundled", None)
        if name != "friedman":
            del described["expected"]  # likewise
            described.pop("data_hash", None)
        (folder / f"conf/dataset/{name}.yaml").write_text(yaml.safe_dump(described))


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [warm_python(), "-W", "error", "-m", "data_prep", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_all_sets(tmp_path: Path) -> None:
    with LocalServer() as server:
        checkout_with_addresses_at(server, tmp_path)
        first = run(tmp_path, "dataset=all")
        assert (first.returncode, "16 of 16 data sets are prepared" in first.stdout) == (0, True), first.stderr
        assert len(server.log) == len(set(server.log)) == 9 + 2 * 6
    # The server is gone. What was fetched is enough, and what is missing is named; the rest does not suffer.
    shutil.rmtree(tmp_path / "data/prepared")
    shutil.rmtree(tmp_path / "data/raw/road")
    second = run(tmp_path, "dataset=all")
    assert second.returncode == 2
    assert "15 of 16 data sets are prepared" in second.stdout
    errors = [line for line in second.stderr.splitlines() if line.startswith("error")]
    assert len(errors) == 1
    assert f"put it into {Path('data/raw/road')} as 3d_road_network_north_jutland_denmark.zip" in errors[0]
    verified = run(tmp_path, "verify=true")
    assert verified.returncode == 0
    assert verified.stdout.count(": verified") == 15
