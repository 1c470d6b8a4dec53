"""The lock file and the sources that it pins: first sight is recorded, a later difference is an error."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from huggingface_hub import errors

from hybridkit import lock, paths
from hybridkit.corpora import downloads
from hybridkit.corpora.catalogue import CATALOGUE
from hybridkit.errors import KitError

SOURCE = replace(CATALOGUE["xquad-r"], name="made-up", commit="", url="", hub="someone/made-up", files={"a/b.tsv": {}})


@pytest.fixture(autouse=True)
def own_lock(own_cache, tmp_path, monkeypatch):
    monkeypatch.setenv("HYBRIDKIT_LOCK", str(tmp_path / "lock.json"))


@pytest.fixture
def hub(monkeypatch):
    """A hub that serves one file, and what was asked of it."""
    import huggingface_hub

    asked = []

    class Api:
        def repo_info(self, name, repo_type, timeout):
            asked.append(("newest", name))
            return type("Info", (), {"sha": "c0ffee"})

    def download(repository, name, repo_type, revision, local_dir):
        asked.append((repository, name, revision))
        path = local_dir / name
        path.parent.mkdir(parents=True)
        path.write_text("1\tone\n")

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    return asked


def test_the_first_download_locks_revision_and_checksum(hub):
    path = downloads.file(SOURCE, "a/b.tsv")
    assert path.read_text() == "1\tone\n"
    held = json.loads(paths.lock_file().read_text())["datasets"]["made-up"]
    assert held["revision"] == "c0ffee" and held["files"]["a/b.tsv"]["bytes"] == 6
    downloads.file(SOURCE, "a/b.tsv")
    assert hub == [("newest", "someone/made-up"), ("someone/made-up", "a/b.tsv", "c0ffee")]


def test_a_later_difference_names_both(hub):
    path = downloads.file(SOURCE, "a/b.tsv")
    was = lock.read()["datasets"]["made-up"]["files"]["a/b.tsv"]["sha256"]
    path.write_text("1\ttwo\n")
    with pytest.raises(KitError) as caught:
        downloads.file(SOURCE, "a/b.tsv")
    assert was in str(caught.value) and "made-up" in str(caught.value) and str(caught.value).count("SHA-256") == 1
    assert path.read_text() == "1\ttwo\n" and lock.read()["datasets"]["made-up"]["files"]["a/b.tsv"]["sha256"] == was


def test_a_copy_put_there_by_hand_needs_no_network():
    path = paths.downloads() / "made-up" / "a" / "b.tsv"
    path.parent.mkdir(parents=True)
    path.write_text("by hand")
    assert downloads.file(SOURCE, "a/b.tsv") == path
    assert list(lock.read()["datasets"]["made-up"]) == ["files"]


def test_a_licence_must_be_accepted_first(hub):
    source = replace(SOURCE, must_accept=True)
    with pytest.raises(KitError, match="hybridkit data fetch made-up --accept-licence"):
        downloads.file(source, "a/b.tsv")
    assert not hub
    lock.accept("made-up", source.licence)
    assert downloads.file(source, "a/b.tsv").is_file()


def answer(status):
    import httpx2

    return httpx2.Response(status, request=httpx2.Request("GET", "https://hub"))


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (lambda: errors.GatedRepoError("no", response=answer(403)), "ask for it on its page"),
        (lambda: errors.RevisionNotFoundError("no", response=answer(404)), "no longer exists"),
        (lambda: errors.RepositoryNotFoundError("no", response=answer(404)), "does not exist there any more"),
        (lambda: errors.RemoteEntryNotFoundError("no", response=answer(404)), "does not exist there any more"),
        (lambda: errors.LocalEntryNotFoundError("no"), "could not be reached"),
        (lambda: errors.HfHubHTTPError("no", response=answer(500)), "could not be reached"),
        (lambda: errors.OfflineModeIsEnabled("no"), "could not be reached"),
        (lambda: OSError(28, "No space left on device"), "No space left on device"),
    ],
)
def test_what_goes_wrong_at_the_hub_is_told_in_a_sentence(monkeypatch, hub, fault, said):
    import huggingface_hub

    def fail(*arguments, **named):
        raise fault()

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fail)
    with pytest.raises(KitError, match=said) as caught:
        downloads.file(SOURCE, "a/b.tsv")
    assert "\n" not in str(caught.value) and "made-up" in str(caught.value)


def test_no_network_at_all(monkeypatch):
    import httpx2
    import huggingface_hub

    class Api:
        def repo_info(self, *arguments, **named):
            raise httpx2.ConnectError("Name or service not known")

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    with pytest.raises(KitError, match="could not be reached: connect to the network"):
        downloads.revision(SOURCE)
    assert lock.read()["datasets"] == {}


def test_processes_that_lock_at_once_lose_nothing(tmp_path):
    files = [tmp_path / f"{number}.txt" for number in range(20)]
    for file in files:
        file.write_text(file.name)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda file: lock.check_file("datasets", "many", file.name, file), files))
    assert len(lock.read()["datasets"]["many"]["files"]) == 20


@pytest.mark.parametrize(
    "text",
    ["{", "[]", '{"datasets": []}', '{"datasets": {"x": "abc"}}', '{"models": {"x": {"files": ["y"]}}}',
     '{"datasets": {"x": {"files": {"y": {"bytes": 3}}}}}'],
)  # fmt: skip
def test_a_damaged_lock_file_is_never_overwritten(text):
    paths.lock_file().write_text(text)
    with pytest.raises(KitError, match="is damaged"):
        lock.accept("made-up", "any")
    assert paths.lock_file().read_text() == text


def test_a_file_that_another_process_saw_otherwise_in_the_meantime(tmp_path, monkeypatch):
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    theirs.write_text("one")
    ours.write_text("two")
    record = lock._record

    def later(*arguments):
        monkeypatch.setattr(lock, "_record", record)
        lock.check_file("datasets", "made-up", "a.tsv", theirs)
        return record(*arguments)

    monkeypatch.setattr(lock, "_record", later)
    with pytest.raises(KitError, match="ours has the SHA-256"):
        lock.check_file("datasets", "made-up", "a.tsv", ours)
    lock.check_file("datasets", "made-up", "a.tsv", theirs)


def test_a_lock_file_that_cannot_be_written_is_told(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("HYBRIDKIT_LOCK", str(tmp_path / "file" / "lock.json"))
    with pytest.raises(KitError, match="cannot be written .* set HYBRIDKIT_LOCK"):
        lock.accept("made-up", "any")
