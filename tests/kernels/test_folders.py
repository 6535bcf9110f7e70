"""Where the folders are, and that code runs from them only if nobody else can have put it there."""

import importlib.util
import os
import py_compile
import re
import shutil
import stat
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernel_runs import KERNEL, PROGRAM, run

import tinyhyper as th
from tinyhyper import files, folders
from tinyhyper.kernels import cache, disk

slow = pytest.mark.slow
posix = pytest.mark.skipif(os.name == "nt", reason="there are no owners and bits")
STRANGER = 54_321


# ---- Where they are.


@pytest.fixture
def bare(monkeypatch):
    """The environment names no folder."""
    for name in ("TINYHYPER_CACHE", "TINYHYPER_DATA", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(folders, "_folder", None)
    return monkeypatch


@pytest.fixture
def homeless(bare):
    """A user whom the system does not know, as in many a container."""
    import pwd

    def unknown(number):
        raise KeyError(number)

    bare.delenv("HOME", raising=False)
    bare.setattr(pwd, "getpwuid", unknown)
    return bare


@pytest.mark.parametrize("chosen", ["", ".", "cache", "./cache", "../cache", "~/cache", "tinyhyper"])
def test_a_cache_home_that_is_empty_or_relative_does_not_count(bare, chosen):
    bare.setenv("XDG_CACHE_HOME", chosen)
    assert th.kernels.cache_dir() == Path.home() / ".cache" / "tinyhyper"


def test_a_cache_home_that_is_absolute_counts_and_our_own_variable_goes_first(bare, tmp_path):
    bare.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert th.kernels.cache_dir() == tmp_path / "tinyhyper"
    bare.setenv("TINYHYPER_CACHE", "")
    assert th.kernels.cache_dir() == tmp_path / "tinyhyper"
    bare.chdir(tmp_path)
    for named, place in (("kernels", tmp_path / "kernels"), ("~/kernels", Path.home() / "kernels")):
        bare.setenv("TINYHYPER_CACHE", named)
        assert th.kernels.cache_dir() == place


NOWHERE = ["~nosuchuser", "~nosuchuser/x", "a\0b", "~\0/x", "\ud800"]


@given(before=st.sampled_from(["", "/", "~/", "~"]), after=st.text("ab/~", max_size=4))
def test_no_path_with_a_nul_is_taken(before, after):
    with pytest.raises(th.ArgumentError, match="here="):
        folders.named(f"{before}\0{after}", "here")


@pytest.mark.parametrize("path", ["", *NOWHERE])
def test_a_path_that_leads_nowhere_is_refused_by_name_and_changes_nothing(bare, path):
    before = th.kernels.cache_dir()
    with pytest.raises(th.ArgumentError, match="^set_cache_dir: path="):
        th.kernels.set_cache_dir(path)
    assert th.kernels.cache_dir() == before


@pytest.mark.parametrize("path", NOWHERE)
def test_a_loader_refuses_a_folder_that_leads_nowhere(bare, path):
    for load in (th.data.mnist, th.data.cifar10, th.data.war_and_peace):
        with pytest.raises(th.DataError, match=f"^{load.__name__}: `folder`="):
            load(path)


def test_a_loader_refuses_a_folder_that_the_system_cannot_look_into(bare):
    for load in (th.data.mnist, th.data.cifar10, th.data.war_and_peace):
        with pytest.raises(th.DataError, match=f"^{load.__name__}: `folder` names .* not a folder"):
            load("x" * 5_000)


@pytest.mark.parametrize("variable", ["TINYHYPER_DATA", "TINYHYPER_CACHE"])
def test_a_loader_refuses_an_environment_that_leads_nowhere(bare, variable):
    bare.setenv(variable, "~nosuchuser/x")
    with pytest.raises(th.DataError, match=f"^mnist: {variable}='~nosuchuser/x' "):
        th.data.mnist()


@posix
def test_without_a_home_folder_there_is_no_cache_until_one_is_named(homeless, tmp_path):
    with pytest.raises(th.ArgumentError, match="no home folder; set HOME, or name .* TINYHYPER_CACHE"):
        th.kernels.cache_dir()
    with pytest.raises(th.DataError, match="^mnist: this user has no home folder"):
        th.data.mnist()
    with pytest.raises(th.DataError, match=f"^mnist: '{tmp_path}' holds nothing; this user has no home folder"):
        th.data.mnist(tmp_path)
    homeless.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert th.kernels.cache_dir() == tmp_path / "tinyhyper"


@posix
def test_a_working_folder_that_is_gone_is_told(bare, tmp_path):
    (tmp_path / "gone").mkdir()
    bare.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(th.ArgumentError, match="here='x' is relative to a working folder that no longer exists"):
        folders.named("x", "here")
    with pytest.raises(th.DataError, match="^mnist: `folder`='x'"):
        th.data.mnist("x")
    bare.chdir(tmp_path)


# ---- Whom they trust.


@pytest.fixture
def folder(tmp_path):
    """A folder of one's own with a file in it."""
    files.publish(tmp_path / "above" / "kernels" / "file", b"content")
    return tmp_path / "above" / "kernels"


def linked(path):
    """Another place for what is there, and a link in its stead."""
    other = path.with_name(f"{path.name}-other")
    path.rename(other)
    path.symlink_to(other)


def hard_linked(path):
    os.link(path, path.with_name(f"{path.name}-other"))


def piped(path):
    path.unlink()
    os.mkfifo(path)


def mode(bits):
    return lambda path: path.chmod(bits)


def given_away(path):
    if os.geteuid() != 0:
        pytest.skip("only root gives files away")
    os.chown(path, STRANGER, -1, follow_symlinks=False)


def link_given_away(path):
    linked(path)
    given_away(path)


def linked_to_a_shared_one(path):
    path.chmod(0o777)
    linked(path)


def linked_to_itself(path):
    linked(path)
    path.unlink()
    path.symlink_to(path)


def linked_to_where_it_is(path):
    """Which is a folder like /tmp."""
    linked(path)
    path.unlink()
    path.symlink_to(".")
    path.parent.chmod(0o1777)


PARENTS = {
    "for the group": mode(0o770),
    "for all": mode(0o707),
    "linked to itself": linked_to_itself,
    "linked to a shared one": linked_to_a_shared_one,
    "given away": given_away,
    "a link that was given away": link_given_away,
}
FOLDERS = PARENTS | {"like /tmp": mode(0o1777), "linked to where it is": linked_to_where_it_is}
FILES = {
    "for the group": mode(0o664),
    "for all": mode(0o646),
    "a link": linked,
    "with another name": hard_linked,
    "a pipe": piped,
    "given away": given_away,
}


def each(changes):
    return pytest.mark.parametrize("change", changes.values(), ids=changes)


def refused(folder):
    with pytest.raises((th.ArgumentError, OSError)) as caught:
        folders.read_own(folder / "file")
    return caught.value


@posix
@each(FOLDERS)
def test_a_folder_that_others_can_change_is_refused_and_left_alone(folder, change):
    change(folder)
    before = sorted(folder.parent.rglob("*"))
    refused(folder)
    with pytest.raises((th.ArgumentError, OSError)):
        files.publish(folder / "new", b"")
    assert sorted(folder.parent.rglob("*")) == before


@posix
@each(PARENTS)
def test_a_folder_above_that_others_can_change_is_refused_and_left_alone(folder, change):
    change(folder.parent)
    assert isinstance(refused(folder), (th.ArgumentError, OSError))
    with pytest.raises((th.ArgumentError, OSError)):
        files.publish(folder / "deeper" / "new", b"")
    assert not (folder / "deeper").exists()


@posix
@each(FILES)
def test_a_file_that_another_may_have_made_counts_as_missing_and_is_replaced(folder, change):
    change(folder / "file")
    assert isinstance(refused(folder), OSError)
    files.publish(folder / "file", b"new")
    assert folders.read_own(folder / "file") == b"new"
    if change is linked:
        assert (folder / "file-other").read_bytes() == b"content"


@posix
def test_what_is_harmless_is_taken(folder):
    for bits in (0o700, 0o755, 0o500):
        folder.chmod(bits)
        assert folders.read_own(folder / "file") == b"content"
    folder.chmod(0o700)
    folder.parent.chmod(0o1777)  # like /tmp
    assert folders.read_own(folder / "file") == b"content"
    linked(folder)
    link = folder.with_name("further")
    link.symlink_to(folder.name)
    assert folders.own(link) == folder.with_name("kernels-other").resolve()
    assert folders.read_own(link / ".." / folder.name / "file") == b"content"


@posix
def test_another_user_is_told_from_oneself_and_from_root(folder, monkeypatch):
    me = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: me + 1)
    if me == 0:
        assert folders.read_own(folder / "file") == b"content"
    else:
        assert f"another user (number {me})" in str(refused(folder))


@posix
@pytest.mark.parametrize("mask", [0, 0o002, 0o022, 0o077])
def test_folders_are_made_for_their_user_alone_whatever_the_umask(tmp_path, mask):
    before = os.umask(mask)
    try:
        files.publish(tmp_path / "a" / "b" / "file", b"")
        folders.make(tmp_path / "c" / "d")
    finally:
        os.umask(before)
    for path in ("a", "a/b", "c", "c/d"):
        assert stat.S_IMODE((tmp_path / path).stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "a" / "b" / "file").stat().st_mode) == 0o644 & ~mask


def test_a_system_without_owners_takes_a_folder_as_it_is(tmp_path, monkeypatch):
    for name in ("geteuid", "O_NOFOLLOW", "O_NONBLOCK"):
        monkeypatch.delattr(os, name, raising=False)
    files.publish(tmp_path / "a" / "file", b"content")
    assert folders.own(tmp_path / "a") == tmp_path / "a"
    assert folders.read_own(tmp_path / "a" / "file") == b"content"


# ---- Nothing forged runs.


def above(change):
    return lambda folder: change(folder.parent)


def files_in_it(change):
    return lambda folder: [change(path) for path in list(folder.iterdir())]


FORGERIES = {
    **{f"a folder {name}": change for name, change in FOLDERS.items()},
    **{f"a folder above {name}": above(change) for name, change in PARENTS.items()},
    **{f"a file {name}": files_in_it(change) for name, change in FILES.items()},
}


class Forged:
    """What makes a file as it is unpickled."""

    def __init__(self, mark):
        self.mark = str(mark)

    def __reduce__(self):
        return open, (self.mark, "w")


FORGE = """
from test_folders import Forged
from tinyhyper.kernels import disk
save = disk.Store.save
disk.Store.save = lambda store, key, data: save(store, key, Forged({mark!r}))
"""


@pytest.fixture
def mark(tmp_path):
    """The file that forged code makes."""
    return tmp_path / "mark"


@posix
@each(FORGERIES)
def test_a_forged_binary_is_not_even_unpickled(tmp_path, mark, change):
    folder = tmp_path / "above" / "kernels"
    store = disk.Store(str(folder), "kernel", "stamp")
    store.save("key", Forged(mark))
    change(folder)
    assert store.load("key") is None and not mark.exists()


@pytest.fixture(scope="module")
def forged(tmp_path_factory):
    """A folder of forged binaries, the file that they make, and what the program prints that would run them."""
    folder = tmp_path_factory.mktemp("forged")
    text = run(folder / "kernels", FORGE.format(mark=str(folder / "mark")) + PROGRAM)
    return folder / "kernels", folder / "mark", text


@slow
@posix
@each(FORGERIES)
def test_a_program_runs_no_forged_binary(tmp_path, forged, change):
    original, mark, text = forged
    folder = shutil.copytree(original, tmp_path / "above" / "kernels")
    change(folder)
    process = run(folder, wait=False)
    out, err = process.communicate(timeout=120)
    assert (out, process.returncode) == (text, 0) and not mark.exists()
    assert err == "" or re.fullmatch("tinyhyper: kernels are compiled in memory: .*\n", err)


@slow
def test_a_forged_binary_does_run_if_it_lies_in_ones_own_folder(forged):
    """So the tests above see what they look for."""
    original, mark, text = forged
    run(original, wait=False).communicate(timeout=120)
    assert mark.exists()
    mark.unlink()


PLAIN = "from tinyhyper.kernels.plan import elementwise_backend\nelementwise_backend('numba')\n" + PROGRAM


@slow
def test_the_source_that_runs_is_not_the_one_in_the_folder(tmp_path, mark):
    """Not even in a folder of one's own: that is there to be read."""
    folder = tmp_path / "kernels"
    text = run(folder, PLAIN, NUMBA_DISABLE_JIT="1")
    sources = {path: path.read_text() for path in folder.glob("*.py")}
    assert sources
    for path in sources:
        path.write_text(f"open({str(mark)!r}, 'w')\n")
        forged = importlib.util.cache_from_source(str(path))
        py_compile.compile(str(path), forged, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    assert run(folder, PLAIN, NUMBA_DISABLE_JIT="1") == text and not mark.exists()
    assert {path: path.read_text() for path in folder.glob("*.py")} == sources
    assert run(folder, PLAIN, NUMBA_DISABLE_JIT="1") == text and not mark.exists()


@pytest.fixture
def computed(monkeypatch):
    """What a new kernel computes, in this process."""
    monkeypatch.setattr(cache, "_loaded", {})
    cache.notice.cache_clear()

    def compute(serial):
        out = np.zeros(1)
        cache.load(KERNEL.format(serial=serial))(np.ones(1), out)
        return out[0]

    yield compute
    th.kernels.set_cache_dir(None)


@posix
def test_one_line_says_why_a_folder_is_not_used(computed, folder, capsys):
    folder.chmod(0o777)
    th.kernels.set_cache_dir(folder)
    assert [computed(25), computed(75)] == [1.25, 1.75]
    out, err = capsys.readouterr()
    assert out == "" and list(folder.iterdir()) == [folder / "file"]
    assert err == (
        f"tinyhyper: kernels are compiled in memory: others can write to {str(folder)!r}; "
        "withdraw that with chmod go-w, or name a folder of your own in TINYHYPER_CACHE\n"
    )


@pytest.mark.parametrize("named", ["~nosuchuser/x", "~nosuchuser"])
def test_kernels_are_in_memory_where_the_environment_leads_nowhere(computed, bare, capsys, named):
    bare.setenv("TINYHYPER_CACHE", named)
    assert [computed(25), computed(75)] == [1.25, 1.75]
    assert capsys.readouterr().err.count("\n") == 1


@posix
def test_kernels_are_in_memory_without_a_home_folder(computed, homeless, capsys):
    assert [computed(25), computed(75)] == [1.25, 1.75]
    assert "set HOME" in capsys.readouterr().err


@pytest.mark.parametrize("place", ["file", "file/x", "x" * 999])
def test_kernels_are_in_memory_where_no_folder_can_be_made(computed, tmp_path, capsys, place):
    (tmp_path / "file").write_text("")
    th.kernels.set_cache_dir(tmp_path / place)
    assert computed(25) == 1.25
    assert capsys.readouterr().err == "" and (tmp_path / "file").read_text() == ""


def test_a_folder_that_is_deleted_midway_is_made_again(computed, tmp_path):
    th.kernels.set_cache_dir(tmp_path / "a" / "b")
    assert computed(25) == 1.25
    shutil.rmtree(tmp_path / "a")
    assert computed(75) == 1.75 and len(list((tmp_path / "a" / "b").glob("*.py"))) == 1
