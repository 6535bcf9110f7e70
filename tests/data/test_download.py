"""Downloads and the cache: the published file comes whole or not at all, and where it is looked for.

A server on this machine stands for the official addresses; no test needs a network.
"""

import contextlib
import hashlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tinyhyper as th
from tinyhyper import folders
from tinyhyper.data import download, images, store, text

CONTENT = np.random.default_rng(0).bytes(700_000)


class Handler(BaseHTTPRequestHandler):
    """Sends CONTENT, in the way that the path says."""

    def do_GET(self):
        self.server.asked.append(self.path)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            getattr(self, self.path.strip("/").split("/")[0])()

    def begin(self, measured=True):
        self.send_response(200)
        if measured:
            self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()

    def whole(self):
        self.begin()
        self.wfile.write(CONTENT)

    def unmeasured(self):
        self.begin(measured=False)
        self.wfile.write(CONTENT)

    def truncated(self):
        self.begin()
        self.wfile.write(CONTENT[:-1])

    def truncated_unmeasured(self):
        self.begin(measured=False)
        self.wfile.write(CONTENT[:-1])

    def altered(self):
        self.begin()
        self.wfile.write(CONTENT[:-1] + bytes([CONTENT[-1] ^ 1]))

    def login_page(self):
        self.begin(measured=False)
        self.wfile.write(b"<html>Welcome to our network</html>")

    def missing(self):
        self.send_error(404)

    def silent(self):
        self.server.stop.wait(10)

    def stalled(self):
        self.begin()
        self.wfile.write(CONTENT[:300_000])
        self.server.stop.wait(10)

    def slow(self):
        self.begin()
        for start in range(0, len(CONTENT), 70_000):
            self.wfile.write(CONTENT[start : start + 70_000])
            time.sleep(0.01)

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads, server.stop, server.asked = True, threading.Event(), []
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server
    server.stop.set()
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The cache is a fresh folder; the environment names no data and no proxy."""
    monkeypatch.setattr(folders, "_folder", None)
    monkeypatch.setenv("TINYHYPER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.delenv("TINYHYPER_DATA", raising=False)
    return tmp_path / "cache" / "data"


@pytest.fixture
def source(server):
    """A source whose addresses are these ways of sending."""

    def make(*ways, name="set/file.bin", others=()):
        at = f"http://127.0.0.1:{server.server_port}"
        addresses = tuple(way if "//" in way else f"{at}/{way}/{name}" for way in ways)
        return store.Source(name, addresses, hashlib.sha256(CONTENT).hexdigest(), others)

    return make


def files(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def refusal(*sources, folder=None):
    with pytest.raises(th.DataError) as caught:
        store.find("a set", sources, folder)
    assert "\n" not in str(caught.value) and isinstance(caught.value, OSError)
    return str(caught.value)


@pytest.mark.parametrize("way", ["whole", "unmeasured", "slow"])
def test_a_whole_file_is_kept_and_not_asked_for_again(way, source, server, folder):
    (path,) = store.find("a set", [source(way)])
    assert path == folder / "set" / "file.bin" and path.read_bytes() == CONTENT and files(folder) == ["file.bin"]
    asked = len(server.asked)
    assert store.find("a set", [source(way)]) == [path] and len(server.asked) == asked


FAILURES = {
    "truncated": "broke off after 699,999 of 700,000 bytes",
    "truncated_unmeasured": "SHA-256 begins with",
    "altered": "SHA-256 begins with",
    "login_page": "SHA-256 begins with",
    "missing": "Not Found",
    "silent": "timed out",
    "stalled": "timed out",
}


@pytest.mark.parametrize("way", FAILURES)
def test_anything_else_is_refused_and_leaves_nothing_behind(way, source, folder, monkeypatch):
    monkeypatch.setattr(download, "TIMEOUT", 0.2)
    start = time.perf_counter()
    message = refusal(source(way))
    assert FAILURES[way] in message and f"/{way}/" in message and time.perf_counter() - start < 5
    assert files(folder) == []


@pytest.mark.parametrize("way", FAILURES)
def test_the_next_address_is_asked_where_one_fails(way, source, folder, monkeypatch):
    monkeypatch.setattr(download, "TIMEOUT", 0.2)
    (path,) = store.find("a set", [source(way, "whole")])
    assert path.read_bytes() == CONTENT and files(folder) == ["file.bin"]


def test_without_a_network_one_line_says_which_file_to_put_where(source, folder):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{closed.getsockname()[1]}/file"
    message = refusal(source(address), source(address, name="set/other.bin"))
    assert "refused" in message and address in message
    for told in ("put file.bin, other.bin", "TINYHYPER_DATA", "--data-dir", "`folder`", str(folder / "set")):
        assert told in message


def test_only_what_is_missing_is_downloaded_and_asked_for(source, server, folder):
    for expected in (["whole", "missing"], ["missing"]):
        asked = len(server.asked)
        message = refusal(source("whole"), source("missing", name="set/other.bin"))
        assert "a set: put other.bin (packed" in message and files(folder) == ["file.bin"]
        assert [path.split("/")[1] for path in server.asked[asked:]] == expected


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.integers(0, len(CONTENT) - 1), st.integers(1, 255), st.booleans())
def test_a_cached_file_that_is_altered_or_truncated_is_named_and_refused(source, folder, place, change, truncate):
    path = folder / "set" / "file.bin"
    path.parent.mkdir(parents=True, exist_ok=True)
    altered = CONTENT[:place] + bytes([CONTENT[place] ^ change]) + CONTENT[place + 1 :]
    path.write_bytes(CONTENT[:place] if truncate else altered)
    message = refusal(source("whole"))
    assert str(path) in message and "delete it, and it will be downloaded anew" in message
    path.unlink()
    assert store.find("a set", [source("whole")]) == [path] and path.read_bytes() == CONTENT


def test_a_folder_is_looked_into_first_and_need_not_hold_what_is_published(
    source, server, folder, tmp_path, monkeypatch
):
    mine, other = tmp_path / "mine", tmp_path / "other"
    for made, name in ((mine, "file.bin"), (other, "set/file.bin")):
        (made / name).parent.mkdir(parents=True)
        (made / name).write_bytes(b"my own")
    asked, wanted = len(server.asked), source("whole", others=("file.bin",))
    assert store.find("a set", [wanted], str(mine)) == [mine / "file.bin"]
    monkeypatch.setenv("TINYHYPER_DATA", str(other))
    assert store.find("a set", [wanted]) == [other / "set" / "file.bin"]
    assert store.find("a set", [wanted], mine) == [mine / "file.bin"]
    assert len(server.asked) == asked and files(folder) == []


def test_what_is_not_in_the_folder_comes_from_the_cache(source, folder, tmp_path):
    assert store.find("a set", [source("whole")], tmp_path) == [folder / "set" / "file.bin"]


def test_a_failed_download_says_what_the_named_folder_holds(source, folder, tmp_path):
    mine = tmp_path / "mine"
    for expected in ("nothing", ", ".join([*(f"a{n}.txt" for n in range(8)), "2 more"])):
        mine.mkdir(exist_ok=True)
        assert f"'{mine}' holds {expected}; no download from" in refusal(source("missing"), folder=mine)
        for n in range(10):
            (mine / f"a{n}.txt").touch()


def test_a_part_of_a_set_in_the_folder_is_refused(source, folder, tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "file.bin").write_bytes(b"my own")
    message = refusal(source("whole"), source("whole", name="set/other.bin"), folder=tmp_path)
    assert f"'{tmp_path}' holds file.bin, but not other.bin" in message and files(folder) == []


def test_a_named_folder_that_is_not_there_is_refused(source, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    assert f"`folder` names '{tmp_path / 'none'}', which is not a folder" in refusal(
        source("whole"), folder=tmp_path / "none"
    )
    monkeypatch.setenv("TINYHYPER_DATA", str(tmp_path / "file"))
    assert f"TINYHYPER_DATA names '{tmp_path / 'file'}', which is not a folder" in refusal(source("whole"))


def test_a_cache_that_cannot_be_written_is_named(source, tmp_path, folder):
    (tmp_path / "cache").touch()
    assert f"'{folder / 'set'}' cannot be written" in refusal(source("whole"))


def test_an_interruption_leaves_nothing_behind(source, folder):
    def interrupt(path):
        assert path.read_bytes() == CONTENT and not (folder / "file.bin").exists()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download.fetch(source("whole").addresses, folder / "file.bin", interrupt)
    assert files(folder) == []


def test_a_process_killed_midway_leaves_nothing_that_looks_whole(source, folder):
    wanted = source("stalled")
    script = (
        "from tinyhyper.data import store\n"
        f"store.find('a set', [store.Source({wanted.file!r}, {wanted.addresses!r}, {wanted.sha256!r})])"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 30
    while not any(path.stat().st_size for path in folder.rglob("*.tmp")):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGTERM if os.name == "nt" else signal.SIGKILL)
    process.wait()
    assert not (folder / "set" / "file.bin").exists() and len(files(folder)) == 1
    (path,) = store.find("a set", [source("whole")])
    assert path.read_bytes() == CONTENT and files(folder) == ["file.bin"]


def test_several_at_once_do_no_harm_to_each_other(source, folder):
    seen, wanted = [], source("slow")

    def one():
        (path,) = store.find("a set", [wanted])
        seen.append(path.read_bytes() == CONTENT)

    threads = [threading.Thread(target=one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [True] * 4 and files(folder) == ["file.bin"]


def test_progress_is_shown_as_a_bar_or_as_one_line(source, folder, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    store.find("a set", [source("whole")])
    captured = capsys.readouterr()
    assert re.fullmatch(r"downloading file\.bin from http://127\.0\.0\.1:\d+/whole/set/file\.bin\n", captured.err)
    monkeypatch.delitem(sys.modules, "tqdm")
    pytest.importorskip("tqdm")
    (folder / "set" / "file.bin").unlink()
    store.find("a set", [source("whole")])
    captured = capsys.readouterr()
    assert "file.bin: 100%" in captured.err and captured.out == ""


@pytest.mark.parametrize("made", [*images.MNIST, *images.CIFAR, *text.WAR_AND_PEACE], ids=lambda made: made.name)
def test_every_source_has_secure_addresses_and_a_sum(made):
    assert re.fullmatch("[0-9a-f]{64}", made.sha256)
    assert made.addresses and all(address.startswith("https://") for address in made.addresses)


@pytest.mark.parametrize("load", [th.data.mnist, th.data.cifar10, th.data.war_and_peace])
def test_a_loader_without_files_says_what_to_do(load, folder, monkeypatch):
    def refused(*args, **options):
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr("urllib.request.urlopen", refused)
    with pytest.raises(th.DataError, match=f"^{load.__name__}: put .* into .*; no download from https://") as caught:
        load()
    assert "\n" not in str(caught.value) and str(folder) in str(caught.value) and files(folder) == []


def test_the_library_imports_nothing_of_the_network():
    script = (
        "import sys, tinyhyper; print({'ssl', 'urllib.request', 'http.client', 'tarfile', 'tqdm'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"


@pytest.mark.parametrize("missing", ["the folder", "what is in it", "a file in it", "the cache", "the file itself"])
def test_what_the_system_hides_is_told_and_is_not_taken_for_missing(missing, source, folder, tmp_path, monkeypatch):
    """The same error, whichever call meets it first."""
    mine, wanted = tmp_path / "mine", source("whole", others=("file.bin",))
    mine.mkdir()
    (mine / "file.bin").touch()
    store.find("a set", [source("whole")])
    hidden = {
        "the folder": mine, "what is in it": mine, "a file in it": mine / "file.bin",
        "the cache": folder / "set" / "file.bin", "the file itself": folder / "set" / "file.bin",
    }[missing]  # fmt: skip

    def refusing(call):
        def refused(path, *args, **kwargs):
            if path in (hidden, str(hidden)):
                raise PermissionError(13, "Permission denied", str(path))
            return call(path, *args, **kwargs)

        return refused

    owner, name = {"what is in it": (os, "scandir"), "the file itself": (store.Path, "open")}.get(
        missing, (store.Path, "stat")
    )
    monkeypatch.setattr(owner, name, refusing(getattr(owner, name)))
    message = refusal(wanted, folder=None if "cache" in missing or "itself" in missing else mine)
    assert message == f"'{hidden}' cannot be read: Permission denied; change its permissions, or name another"


def test_a_disk_that_is_full_is_told(source, folder, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    assert f"'{folder / 'set'}' cannot be written: No space left on device" in refusal(source("whole"))
    assert files(folder) == []


def test_a_file_that_cannot_be_read_is_told(tmp_path):
    for path in (tmp_path, tmp_path / "gone"):
        with pytest.raises(th.errors.DataError, match=re.escape(f"'{path}' cannot be read: ")):
            download.file_sha256(path)
