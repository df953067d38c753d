"""Servers that mean harm or are broken: the next address serves, every attack ends, and nothing wrong stays on disk."""

from __future__ import annotations

import gzip
import time
from pathlib import Path

import numpy as np
import pytest
from data_attacks import (
    QUICK,
    N,
    csv,
    leftovers,
    openml_set,
    raw_answer,
    silent_answer,
    table_set,
    zipped,
)
from data_helpers import Notes, Silent
from local_server import Answer, LocalServer, ok, redirect, status
from openml_files import as_parquet, description, table

from data_prep import DataError, prepare
from data_prep.hashing import sha256_of_files

pytestmark = pytest.mark.attacks

GOOD = csv()
HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
UNDECLARED = b"HTTP/1.0 200 OK\r\n\r\n"  # the body ends with the connection
ENTITIES = b"<!DOCTYPE x [<!ENTITY a 'aaaaaaaaaa'>" + b"".join(
    b"<!ENTITY %c '%s'>" % (c, b"&%c;" % (c - 1) * 10) for c in range(ord("b"), ord("k"))
)

JUNK = {
    "not found": b"Not found",
    "empty": b"",
    "blanks": b"\n\n   \n",
    "html": b"<!DOCTYPE html><html><body>moved</body></html>",
    "html with a mark": b"\xef\xbb\xbf<html><body>moved</body></html>",
    "html in utf-16": "<html>moved</html>".encode("utf-16"),
    "xml": b"<?xml version='1.0'?><Error><Code>NoSuchKey</Code></Error>",
    "json": b'{"error": "not found", "status": 404}',
    "comma text": b"Not,found,at,all\n",
    "a shorter table": csv(N // 3),
    "a longer table": csv(N + 1),
    "one row": csv(1),
    "one column more": csv(N, 5),
    "one column less": csv(N, 3),
    "constant column": b"".join(b"1,%d,2,%d\n" % (i, i) for i in range(N)),
    "cut in a row": GOOD[: len(GOOD) // 2],
    "cut in the last row": GOOD[:-12],
    "cut by a row": GOOD[: GOOD[:-1].rindex(b"\n") + 1],
    "text for a target": GOOD.replace(b"\n", b"x\n"),
    "semicolons": GOOD.replace(b",", b";"),
    "latin-1": GOOD.replace(b"0.1", b"\xe9.1"),
    "zero bytes": bytes(len(GOOD)),
    "noise": np.random.default_rng(1).bytes(30_000),
    "one long line": b"1," * 2000,
    "many quotes": b'"' * 50_001,
    "a zip archive": zipped(GOOD),
    "gzip": gzip.compress(GOOD),
    "parquet": as_parquet(table("stock")),
    "infinite": GOOD.replace(b"0.1", b"1e999"),
    "a png": b"\x89PNG\r\n\x1a\n" + bytes(1000),
}

HOSTILE: dict[str, Answer] = {
    "endless, undeclared": raw_answer(UNDECLARED, then=b"1,2,3,4\n" * 4096),
    "endless, chunked": raw_answer(CHUNKED, then=b"1000\r\n" + b"1,2,3,4\n" * 512 + b"\r\n"),
    "too much is announced": raw_answer(HEAD + b"Content-Length: 99999999999\r\n\r\n", then=b"1"),
    "an absurd length": raw_answer(HEAD + b"Content-Length: 1" + b"0" * 300 + b"\r\n\r\n", then=b"1"),
    "a negative length": raw_answer(HEAD + b"Content-Length: -5\r\n\r\n", GOOD[:999]),
    "no number as length": raw_answer(HEAD + b"Content-Length: many\r\n\r\n", GOOD[:999]),
    "two lengths": raw_answer(HEAD + b"Content-Length: 5\r\nContent-Length: 9\r\n\r\n", GOOD[:999]),
    "length too short": raw_answer(HEAD + b"Content-Length: 100\r\n\r\n", GOOD),
    "length too long": raw_answer(HEAD + b"Content-Length: %d\r\n\r\n" % (len(GOOD) + 9), GOOD),
    "length zero": raw_answer(HEAD + b"Content-Length: 0\r\n\r\n", GOOD),
    "cut, undeclared": raw_answer(UNDECLARED, GOOD[: GOOD.index(b"\n", 9000) + 1]),
    "cut, chunked": raw_answer(CHUNKED, b"%x\r\n" % 9000, GOOD[:9000], b"\r\n"),
    "a byte now and then": raw_answer(HEAD + b"Content-Length: 9999\r\n\r\n", then=b"1", pause=0.05),
    "a byte now and then, chunked": raw_answer(CHUNKED, then=b"1\r\n1\r\n", pause=0.05),
    "headers byte by byte": raw_answer(HEAD + b"X-Long: ", then=b"1", pause=0.05),
    "a status line byte by byte": raw_answer(b"HTTP/1.1 200 ", then=b"O", pause=0.05),
    "headers without end": raw_answer(HEAD, then=b"X-More: 1\r\n"),
    "a header without end": raw_answer(HEAD + b"X-Long: ", then=b"1" * 4096),
    "continue without end": raw_answer(then=b"HTTP/1.1 100 Continue\r\n\r\n", pause=0.01),
    "a chunk size without end": raw_answer(CHUNKED, then=b"0" * 4096),
    "trailers without end": raw_answer(CHUNKED + b"0\r\n", then=b"X-More: 1\r\n", pause=0.01),
    "a chunk size that is none": raw_answer(CHUNKED, b"zz\r\n", GOOD),
    "a negative chunk": raw_answer(CHUNKED, b"-5\r\n", GOOD),
    "silence": silent_answer(),
    "hangs up": raw_answer(),
    "hangs up after the headers": raw_answer(HEAD + b"Content-Length: 999\r\n\r\n"),
    "no HTTP": raw_answer(b"SSH-2.0-OpenSSH_9.6\r\n"),
    "status zero": raw_answer(b"HTTP/1.1 0 Nothing\r\n\r\n"),
    "status 204": raw_answer(b"HTTP/1.1 204 No Content\r\n\r\n"),
    "status 206, a part": raw_answer(b"HTTP/1.1 206 Partial Content\r\nContent-Length: 1000\r\n\r\n", GOOD[:1000]),
    "status 404 without end": raw_answer(b"HTTP/1.1 404 Gone\r\n\r\n", then=b"x" * 4096),
    "gzip bomb": raw_answer(
        HEAD + b"Content-Encoding: gzip\r\nConnection: close\r\n\r\n", gzip.compress(bytes(200 << 20), 6)
    ),
    "gzip twice": raw_answer(
        HEAD + b"Content-Encoding: gzip, gzip\r\nConnection: close\r\n\r\n",
        gzip.compress(gzip.compress(bytes(9999))),
    ),
    "gzip that is none": raw_answer(HEAD + b"Content-Encoding: gzip\r\nContent-Length: 999\r\n\r\n", GOOD[:999]),
    "brotli": raw_answer(HEAD + b"Content-Encoding: br\r\nContent-Length: 999\r\n\r\n", GOOD[:999]),
    "redirect to itself": redirect("/a/table.csv"),
    "redirect to a file": redirect("file:///etc/passwd"),
    "redirect to no host": redirect("http://"),
    "redirect to half a host": redirect("http://["),
    "redirect to ftp": redirect("ftp://127.0.0.1/table.csv"),
    "redirect to nobody": redirect("http://127.0.0.1:1/table.csv"),
    "redirect with a body without end": raw_answer(
        b"HTTP/1.1 302 Found\r\nLocation: /a/table.csv\r\n\r\n", then=b"x" * 4096
    ),
    "redirect without a place": raw_answer(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n"),
}


SAID = {
    "endless, chunked": "the server sends more than 1,048,576 bytes",
    "too much is announced": "99,999,999,999 bytes are announced",
    "a byte now and then": "less than 1000 a second",
    "gzip bomb": "the server sends more than 1,048,576 bytes",
    "gzip twice": "not asked for ('gzip, gzip')",
    "brotli": "not asked for ('br')",
    "redirect to itself": "more than 10 redirects",
    "redirect with a body without end": "more than 10 redirects",
}


@pytest.mark.parametrize(("answer", "said"), [(HOSTILE[name], SAID.get(name, "")) for name in HOSTILE], ids=HOSTILE)
def test_hostile_server(answer: Answer, said: str, tmp_path: Path) -> None:
    """Alone it makes one error within seconds; beside a good address it costs time alone."""
    with LocalServer() as server:
        bad, good = server.add("/a/table.csv", answer), server.add("/b/table.csv", ok(GOOD))
        before = time.monotonic()
        with pytest.raises(DataError, match=r"could not be fetched .* put it into") as caught:
            prepare(table_set(bad), tmp_path, progress=Silent(), patience=QUICK)
        assert f"({bad}: " in str(caught.value)
        assert said in str(caught.value)
        assert time.monotonic() - before < 30  # each would last for ever, or for hours
        refused_and_forgotten(tmp_path)
        prepared = prepare(table_set(bad, good), tmp_path, progress=Silent(), patience=QUICK)
        assert prepared.meta.raw is not None
        assert prepared.meta.raw.address == good


@pytest.mark.parametrize("archived", [False, True], ids=["plain", "in an archive"])
@pytest.mark.parametrize("body", JUNK.values(), ids=JUNK)
def test_junk_with_status_200(body: bytes, archived: bool, tmp_path: Path) -> None:
    """It is refused by its content, the message says so of each address, and a good one serves, at once or later."""
    suffix, wrap = ("zip", zipped) if archived else ("csv", bytes)
    with LocalServer() as server:
        bad = server.add(f"/a/table.{suffix}", ok(wrap(body)))
        worse = server.add(f"/b/table.{suffix}", ok(b"Not found"))
        good = server.add(f"/c/table.{suffix}", ok(wrap(GOOD)))
        with pytest.raises(DataError) as caught:
            prepare(table_set(bad, worse), tmp_path, progress=Silent(), patience=QUICK)
        assert all(f"{address}: " in str(caught.value) for address in (bad, worse))
        assert f"put it into {tmp_path / 'raw/table'} as table.{suffix}" in str(caught.value)
        refused_and_forgotten(tmp_path)
        notes = Notes()
        prepared = prepare(table_set(bad, good), tmp_path, progress=notes, patience=QUICK)
        assert any(bad in text for text in notes.texts)
        assert prepared.meta.raw is not None
        assert prepared.meta.raw.address == good
        assert not any("expected" in text for text in notes.texts if "warning" in text)


def test_a_row_of_far_too_many_columns_is_not_looked_into(tmp_path: Path) -> None:
    with LocalServer() as server:
        bad = server.add("/table.csv", ok(b"1," * 20_000))
        with pytest.raises(DataError, match="not the expected table: 20,001 columns"):
            prepare(table_set(bad), tmp_path, progress=Silent(), patience=QUICK)


@pytest.mark.parametrize("size", [0, 10, 100, 1000, 10_000])
def test_a_cut_archive(size: int, tmp_path: Path) -> None:
    with LocalServer() as server:
        bad = server.add("/a/table.zip", raw_answer(UNDECLARED, zipped(GOOD)[:size]))
        with pytest.raises(DataError, match="damaged zip archive"):
            prepare(table_set(bad), tmp_path, progress=Silent(), patience=QUICK)
        refused_and_forgotten(tmp_path)


@pytest.mark.parametrize("part", ["description", "parquet"])
@pytest.mark.parametrize("body", JUNK.values(), ids=JUNK)
def test_junk_from_openml(body: bytes, part: str, tmp_path: Path) -> None:
    """Without a description a mirror serves; in the place of the parquet file the ARFF file does."""
    with LocalServer() as server:
        dataset = openml_set(server, parquet=True)
        server.add("/xml/data/564" if part == "description" else "/fried.pq", ok(body))
        if part == "description":
            with pytest.raises(DataError, match=r"not OpenML's description of data set 564.* put it into"):
                prepare(dataset, tmp_path, progress=Silent(), patience=QUICK)
            assert not list((tmp_path / "raw/fried").iterdir())
        else:
            raw = prepare(dataset, tmp_path, progress=Silent(), patience=QUICK).meta.raw
            assert raw is not None
            assert raw.name == "dataset.arff"


@pytest.mark.parametrize(
    "body",
    [
        ENTITIES + b"]><x>&j;</x>",
        b"<!DOCTYPE x [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><x>&a;</x>",
        b"<a>" * 100_000,
        description(565, b"", "x", None),
        description(564, b"", "file:///etc/passwd", "file:///etc/passwd"),
        description(564, b"", "http://[", "gopher://x/y"),
        b"<?xml version='1.0' encoding='rot13'?><x/>",
    ],
    ids=["entities", "a file", "nested", "another set", "addresses of files", "odd addresses", "odd encoding"],
)
def test_hostile_descriptions(body: bytes, tmp_path: Path) -> None:
    with LocalServer() as server:
        dataset = openml_set(server, parquet=False)
        server.add("/xml/data/564", ok(body))
        with pytest.raises(DataError, match="put it into") as caught:
            prepare(dataset, tmp_path, progress=Silent(), patience=QUICK)
        assert "root:" not in str(caught.value)
        assert leftovers(tmp_path) == []


def test_another_table_in_the_place_of_arff_is_refused_by_its_md5(tmp_path: Path) -> None:
    with LocalServer() as server:
        dataset = openml_set(server, parquet=False)
        server.add("/fried.arff", ok(b"@RELATION x\n@ATTRIBUTE Y REAL\n@DATA\n1\n"))
        with pytest.raises(DataError, match="its md5 is"):
            prepare(dataset, tmp_path, progress=Silent(), patience=QUICK)


def test_the_key_of_openml_is_in_no_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    openml = pytest.importorskip("openml")
    monkeypatch.setattr(openml.config, "apikey", "secret")
    notes = Notes()
    with LocalServer() as server:
        dataset = openml_set(server, parquet=False)
        server.add("/xml/data/564?api_key=secret", status(500), redirect("http://["), raw_answer(b"?"))
        for _ in range(3):
            with pytest.raises(DataError) as caught:
                prepare(dataset, tmp_path, progress=notes, patience=QUICK)
            assert "secret" not in str(caught.value)
        assert server.log == ["/xml/data/564?api_key=secret"] * 3
    assert not any("secret" in text for text in notes.texts)


def test_a_wrong_table_put_there_by_hand_is_used_with_a_warning_and_not_held(tmp_path: Path) -> None:
    """The counts in a description may be wrong, so there is a way; the right file can still take its place."""
    folder = tmp_path / "raw/table"
    folder.mkdir(parents=True)
    (folder / "table.csv").write_bytes(csv(N + 1))
    notes = Notes()
    prepare(table_set("http://127.0.0.1:1/table.csv"), tmp_path, progress=notes)
    assert any("warning" in text and "(expected" in text for text in notes.texts)
    assert [path.name for path in folder.iterdir()] == ["table.csv"]
    (folder / "table.csv").write_bytes(GOOD)
    prepare(table_set("http://127.0.0.1:1/table.csv"), tmp_path, overwrite=True, progress=Silent())
    assert (folder / "table.csv.sha256").read_text().split()[0] == sha256_of_files(folder / "table.csv")


def refused_and_forgotten(data: Path) -> None:
    """Nothing is left of what a server sent."""
    assert [path.name for path in (data / "raw").rglob("*") if path.is_file()] == []
    assert [path.name for path in (data / "prepared").iterdir()] == [".table.lock"]
    assert leftovers(data) == []
