"""Files that appear whole or not at all: their modes, links, devices, folders full of others, and full disks."""

import errno
import os
import stat
import subprocess
import sys
import threading

import pytest

import tinyhyper as th
from tinyhyper import files


@pytest.fixture
def umask():
    """A call sets the umask until the test ends."""
    before = os.umask(0o022)
    yield os.umask
    os.umask(before)


def mode(path):
    return oct(stat.S_IMODE(os.stat(path).st_mode))


def recorded():
    """A recording."""
    with th.record() as tape:
        th.tensor(1.0, requires_grad=True) * 2.0
    return tape


WRITERS = {
    "write": lambda path: files.write(path, "new"),
    "save": lambda path: th.save(path, {}),
    "html": lambda path: recorded().save_html(path),
}


SHOWN = {
    ".svg": [lambda path: recorded().save_svg(path), lambda path: th.inspect.cuts(recorded()).save_svg(path)],
    ".html": [lambda path: recorded().save_html(path)],
}


@pytest.mark.parametrize("kind", SHOWN)
@pytest.mark.parametrize("name", ["a", "a.svg", "a.SVG", "a.html", "a.png", "a.b.svg", "a.html.svg"])
def test_a_file_is_not_called_what_it_is_not(kind, name, tmp_path):
    for write in SHOWN[kind]:
        if name.lower().endswith(kind) or "." not in name:
            assert write(tmp_path / name).read_text(encoding="utf-8").startswith(("<svg", "<!DOCTYPE html>"))
        else:
            with pytest.raises(th.ArgumentError, match=rf"{name}': a .* give it a name that ends in {kind}"):
                write(tmp_path / name)
            assert not (tmp_path / name).exists()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no modes")
@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
@pytest.mark.parametrize("mask", [0o022, 0o077, 0o027, 0])
def test_a_new_file_has_what_the_umask_leaves_and_an_old_one_keeps_its_mode(write, mask, umask, tmp_path):
    path = tmp_path / "file"
    umask(mask)
    write(path)
    assert mode(path) == oct(0o666 & ~mask)
    for kept in (0o600, 0o640, 0o444, 0o755):
        path.chmod(kept)
        before = path.stat().st_ino
        write(path)
        assert mode(path) == oct(kept) and path.stat().st_ino != before


@pytest.mark.skipif(os.name == "nt", reason="Windows has no modes")
def test_nobody_else_can_read_what_is_under_way_to_a_private_file(umask, tmp_path):
    umask(0o022)
    path = tmp_path / "file"
    path.touch(0o600)
    with files.replacing(path) as file:
        assert mode(file.name) == oct(0o600)


@pytest.mark.skipif(os.name == "nt", reason="Windows asks for a right to make links")
def test_a_link_stays_and_what_it_leads_to_is_replaced(tmp_path):
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    for name, content in (("old", "old"), ("none", None)):
        target, link = folder / name, tmp_path / f"to {name}"
        if content:
            target.write_text(content)
        link.symlink_to(target)
        files.write(link, "new")
        assert link.is_symlink() and target.read_text() == "new"
    assert sorted(os.listdir(folder)) == ["none", "old"]
    circle = tmp_path / "circle"
    circle.symlink_to(circle)
    with pytest.raises(th.CheckpointError, match="circle: the checkpoint cannot be written: "):
        th.save(circle, {})
    assert circle.is_symlink()


@pytest.mark.skipif(os.name == "nt", reason="Windows copies")
def test_another_name_of_a_file_keeps_the_old_content(tmp_path):
    path, other = tmp_path / "file", tmp_path / "other"
    path.write_text("old")
    os.link(path, other)
    files.write(path, "new")
    assert (path.read_text(), other.read_text()) == ("new", "old")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")
def test_no_file_takes_the_place_of_a_device_a_pipe_or_what_is_printed_to(tmp_path, capfd):
    pipe, link, out = tmp_path / "pipe", tmp_path / "link", tmp_path / "out"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    for path in (pipe, link, "/dev/null", "/dev/stdout", tmp_path):
        with pytest.raises(th.CheckpointError, match="cannot be written: It is a folder, a device or an open stream"):
            th.save(path, {})
        with pytest.raises(OSError, match="which a file cannot replace") as error:
            files.write(path, "new")
        assert error.value.filename == str(path)
        if not os.path.isfile(path):
            with pytest.raises(th.CheckpointError, match="cannot be read: it is a folder or a device"):
                th.load(path)
    assert stat.S_ISFIFO(pipe.stat().st_mode) and stat.S_ISCHR(os.stat("/dev/null").st_mode)
    with open(out, "wb") as file:
        kept = os.dup(1)
        os.dup2(file.fileno(), 1)
        try:
            with pytest.raises(OSError, match="open stream"):
                files.write(out, "new")
        finally:
            os.dup2(kept, 1)
            os.close(kept)
    assert sorted(os.listdir(tmp_path)) == ["link", "out", "pipe"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")
def test_a_pipe_of_a_temporary_name_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "file.0.tmp")
    (tmp_path / "file.1.tmp").mkdir()
    files.write(tmp_path / "file", "new")
    assert sorted(os.listdir(tmp_path)) == ["file", "file.0.tmp", "file.1.tmp"]


def test_a_stream_that_is_closed_is_in_nobodys_way(tmp_path, monkeypatch):
    fstat = os.fstat

    def closed(handle):
        if handle < 3:
            raise OSError(errno.EBADF, "Bad file descriptor")
        return fstat(handle)

    (tmp_path / "file").touch()
    monkeypatch.setattr(os, "fstat", closed)
    files.write(tmp_path / "file", "new")
    assert (tmp_path / "file").read_text() == "new"


def test_home_is_where_a_path_with_a_tilde_leads(tmp_path, monkeypatch):
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(tmp_path))
    monkeypatch.chdir(tmp_path)
    th.save("~/run.npz", {}, kept=1)
    assert th.load("~/run.npz").extra == {"kept": 1} and os.listdir(tmp_path) == ["run.npz"]
    assert files.write("~/text", "new") == tmp_path / "text"
    with pytest.raises(th.CheckpointMissingError, match="there is no folder"):
        th.save("~/none/run.npz", {})


@pytest.mark.parametrize("path", ["a\0b", "a" * 400, ""])
def test_what_is_no_path_is_told(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for call in (lambda: th.save(path, {}), lambda: th.load(path)):
        with pytest.raises(th.CheckpointError):
            call()
    assert os.listdir(tmp_path) == []


def test_a_folder_is_not_looked_through(tmp_path, monkeypatch):
    def refused(*args):
        raise AssertionError("a folder may hold 30,000 files")

    for name in ("listdir", "scandir"):
        monkeypatch.setattr(os, name, refused)
    th.save(tmp_path / "run.npz", {})
    th.save(tmp_path / "run.npz", {})


@pytest.mark.skipif(files.fcntl is None, reason="there are no limits")
def test_a_disk_that_is_full_while_it_is_written_to_leaves_the_old_file(tmp_path):
    import resource
    import signal

    path, before = tmp_path / "run.npz", resource.getrlimit(resource.RLIMIT_FSIZE)
    th.save(path, {}, kept=1)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with pytest.raises(th.CheckpointError, match="run.npz: the checkpoint cannot be written: File too large"):
            th.save(path, {}, kept=bytes(1_000_000))
        with pytest.raises(OSError, match="File too large: '.*run.npz'"):
            files.write(path, bytes(1_000_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert os.listdir(tmp_path) == ["run.npz"] and th.load(path).extra == {"kept": 1}


@pytest.mark.skipif(files.fcntl is None, reason="there are no locks to tell the living from the dead")
def test_a_name_that_has_passed_to_another_file_is_left_alone(tmp_path, monkeypatch):
    """Its writer ended, and another began, after it was opened and before it was locked."""
    name, lock = tmp_path / "file.0.tmp", files._lock
    name.touch()

    def late(handle):
        name.rename(tmp_path / "file")
        name.touch()
        lock(handle)

    monkeypatch.setattr(files, "_lock", late)
    files._remove_abandoned(str(name))
    assert sorted(os.listdir(tmp_path)) == ["file", "file.0.tmp"]


SAVING = """
import sys, tinyhyper as th
for n in range(20):
    th.save(sys.argv[1], {}, by=[sys.argv[2], n] * 1000)
"""


def test_threads_and_processes_that_save_to_one_file_all_do(tmp_path):
    path, errors = tmp_path / "run.npz", []

    def save(name):
        try:
            for n in range(20):
                th.save(path, {}, by=[name, n] * 1000)
                by = th.load(path).extra["by"]
                assert by == by[:2] * 1000
        except Exception as error:
            errors.append(error)

    th.save(path, {}, by=["nobody", 0] * 1000)
    command = [sys.executable, "-c", SAVING, str(path)]
    processes = [subprocess.Popen([*command, f"process {n}"]) for n in range(2)]
    threads = [threading.Thread(target=save, args=(f"thread {n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [process.wait() for process in processes] == [0, 0] and not errors
    assert os.listdir(tmp_path) == ["run.npz"] and th.load(path).extra["by"][1] == 19


@pytest.mark.skipif(files.fcntl is None, reason="there are no locks to tell the living from the dead")
def test_several_who_write_at_once_have_a_file_each_and_none_is_left(tmp_path):
    path = tmp_path / "file"
    with files.replacing(path) as first, files.replacing(path) as second, files.replacing(path) as third:
        assert len({first.name, second.name, third.name}) == 3
        for number, file in enumerate((first, second, third)):
            file.write(str(number).encode())
    assert path.read_text() == "0" and os.listdir(tmp_path) == ["file"]
