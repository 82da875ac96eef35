"""Backups: all that was acknowledged before one began is in it, whatever the server does meanwhile, and a bad one is noticed."""

import asyncio
import io
import json
import random
import tarfile
from pathlib import Path

import pytest

from durabus.errors import StoreError
from durabus.stores.copying import copy_store
from durabus.stores.file.backup import MANIFEST, BackupFiles, write_backup
from durabus.stores.file.checking import check_journal
from durabus.stores.file.files import Files
from durabus.stores.file.layout import index_name
from durabus.stores.file.overlay import OverlayFiles
from durabus.stores.file.store import FileStore
from durabus.stores.findings import CheckReport
from durabus.stores.memory import MemoryStore
from durabus.testing.disk import SimulatedDisk, SimulatedFiles
from tests.stores.copy_steps import ChannelContent, Content, Found, fill, found_in
from tests.stores.file.busy_steps import BusyFiles, Server
from tests.stores.file.damage_steps import disk_with, flipped
from tests.stores.file.journal_steps import body, frames_of, segments_of
from tests.stores.file.test_checking import THREE

MADE_NS = 1_700_000_000_000_000_000
SOME = Content(
    [ChannelContent(1, "+" * 40, 5, 100), ChannelContent(1, "+-+"), ChannelContent(1, "++", 2), ChannelContent()],
    clients=2,
    durables=[(0, 30, [(8, 9)]), (3, 0, [])],
)


def stored(content: Content) -> SimulatedDisk:
    """A journal with `content`, closed."""
    disk = SimulatedDisk()

    async def run() -> None:
        store = FileStore("simulated", SimulatedFiles(disk), 2048)
        await fill(store, content)
        await store.close()

    asyncio.run(run())
    return disk


def opened(files: Files) -> FileStore:
    """A store on what is in a backup."""
    return FileStore("backup", OverlayFiles(files, SimulatedFiles(SimulatedDisk())))


def found(store: FileStore) -> Found:
    async def run() -> Found:
        try:
            return await found_in(store)
        finally:
            await store.close()

    return asyncio.run(run())


def backed_up(files: Files, path: Path) -> CheckReport:
    report = write_backup(files, path, MADE_NS, lambda _: None)
    assert list(path.parent.iterdir()) == [path]
    return report


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bus.tar"


def test_everything_is_in_it(path: Path) -> None:
    disk = stored(SOME)
    report = backed_up(SimulatedFiles(disk), path)
    assert report.is_well
    assert path.stat().st_mode & 0o777 == 0o600
    backup = BackupFiles(path)
    assert backup.findings() == []
    assert found(opened(backup)) == found(FileStore("simulated", SimulatedFiles(disk)))
    check = check_journal(backup, lambda _: None)
    assert (check.report.is_well, check.report.messages) == (True, report.messages)
    backup.end()
    backup.end()


def test_its_manifest_says_what_it_is(path: Path) -> None:
    report = backed_up(SimulatedFiles(stored(SOME)), path)
    backup = BackupFiles(path)
    manifest = {name: value for name, value in backup.manifest.items() if name != "files"}
    assert manifest == {
        "format": "durabus-backup",
        "version": 1,
        "made": "2023-11-14T22:13:20+00:00",
        "cluster_id": "test-cluster",
        "channels": 4,
        "messages": 37,
        "message_bytes": report.message_bytes,
        "clients": 2,
        "subscriptions": 2,
        "damage": [],
    }
    assert [one["name"] for one in backup.manifest["files"]] == backup.names()


def test_an_empty_store_has_a_backup(path: Path) -> None:
    backed_up(SimulatedFiles(SimulatedDisk()), path)
    backup = BackupFiles(path)
    assert (backup.names(), backup.manifest["cluster_id"], backup.findings()) == ([], None, [])
    assert found(opened(backup)).server is None


def test_unpacked_it_is_a_directory_for_a_server(path: Path, tmp_path: Path) -> None:
    disk = stored(SOME)
    backed_up(SimulatedFiles(disk), path)
    with tarfile.open(path) as archive:
        archive.extractall(tmp_path / "data", filter="data")
    assert found(FileStore(str(tmp_path / "data"))) == found(FileStore("simulated", SimulatedFiles(disk)))


@pytest.mark.parametrize("seed", range(10))
def test_all_that_was_acknowledged_before_is_in_it(seed: int, path: Path) -> None:
    server = Server(random.Random(seed))
    server.steps((5, 60)[seed % 2])
    before, clients = dict(server.desk.lasts), server.clients
    report = backed_up(BusyFiles(server, (0.02, 0.2)[seed // 2 % 2]), path)
    assert [finding.text for finding in report.findings] == []
    backup = BackupFiles(path)
    assert backup.findings() == []
    there = found(opened(backup))
    for channel_id, last in before.items():
        first, there_last, bodies = there.channels[b"foo.%d" % channel_id]
        assert there_last >= last
        assert len(bodies) == there_last + 1 - first
        for sequence, one in enumerate(bodies, first):
            assert one.startswith(body(channel_id, sequence))
    assert int(there.clients[b"client"]) >= clients
    assert there.subscriptions[b"7"][1] >= clients


async def test_it_can_be_copied_into_another_store(path: Path) -> None:
    disk = await asyncio.to_thread(stored, SOME)
    await asyncio.to_thread(backed_up, SimulatedFiles(disk), path)
    source, target = opened(BackupFiles(path)), MemoryStore()
    await copy_store(source, target, lambda _: None)
    await source.close()
    one = await found_in(target)
    assert one == await asyncio.to_thread(found, FileStore("simulated", SimulatedFiles(disk)))


def test_wherever_it_is_cut_off_that_is_noticed(path: Path, tmp_path: Path) -> None:
    backed_up(SimulatedFiles(stored(SOME)), path)
    data = path.read_bytes()
    with tarfile.open(path) as archive:
        end = archive.getmember(MANIFEST).offset_data + archive.getmember(MANIFEST).size
    cut = tmp_path / "cut"
    for size in [*range(0, end, 199), end - 1]:
        cut.write_bytes(data[:size])
        with pytest.raises(StoreError, match=r"is cut off|is no backup"):
            BackupFiles(cut)


def test_whatever_is_changed_in_it_is_noticed(path: Path, tmp_path: Path) -> None:
    backed_up(SimulatedFiles(stored(SOME)), path)
    data = path.read_bytes()
    with tarfile.open(path) as archive:
        members = [one for one in archive.getmembers() if one.name != MANIFEST]
        places = [(one.name, one.offset_data, one.offset_data + one.size) for one in members]
    changed = tmp_path / "changed"
    for name, start, end in places:
        for at in range(start, end, 97):
            changed.write_bytes(data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :])
            backup = BackupFiles(changed)
            assert backup.findings(), f"byte {at} of {name}"
            backup.end()


def repacked(path: Path, members: dict[str, bytes]) -> None:
    """An archive with these members."""
    with tarfile.open(path, "w") as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


def members_of(path: Path) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    with tarfile.open(path) as archive:
        for member in archive.getmembers():
            file = archive.extractfile(member)
            assert file is not None
            found[member.name] = file.read()
    return found


def test_members_that_do_not_fit_the_manifest_are_found(path: Path) -> None:
    backed_up(SimulatedFiles(stored(SOME)), path)
    whole = members_of(path)
    first = next(iter(whole))
    repacked(path, {name: data for name, data in whole.items() if name != first})
    assert [one.text for one in BackupFiles(path).findings()] == [f"{first} in the backup: it is missing"]
    other = "durabus-0000000099.segment"
    repacked(path, {other: b"x", **whole})
    assert [one.text for one in BackupFiles(path).findings()] == [
        f"{other} in the backup: the manifest does not know it"
    ]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"version": 2}, "was made by a newer version"),
        ({"format": "other"}, "is no backup"),
        ({"files": 3}, "is no backup"),
        ({"files": [3]}, "unreadable"),
        ({"version": None}, "unreadable"),
    ],
)
def test_other_manifests_are_refused(path: Path, change: dict[str, object], words: str) -> None:
    backed_up(SimulatedFiles(stored(Content())), path)
    whole = members_of(path)
    repacked(path, {**whole, MANIFEST: json.dumps({**json.loads(whole[MANIFEST]), **change}).encode()})
    with pytest.raises(StoreError, match=words):
        BackupFiles(path)


def test_other_files_are_no_backups(path: Path) -> None:
    path.write_bytes(b"hello")
    with pytest.raises(StoreError, match="is no backup"):
        BackupFiles(path)
    repacked(path, {"../evil": b""})
    with pytest.raises(StoreError, match=r"it has a file '../evil'"):
        BackupFiles(path)


def test_nothing_is_written_over(path: Path) -> None:
    path.write_bytes(b"precious")
    with pytest.raises(StoreError, match="is there already"):
        backed_up(SimulatedFiles(stored(SOME)), path)
    assert path.read_bytes() == b"precious"


def test_a_failed_backup_leaves_nothing(path: Path) -> None:
    disk = stored(SOME)
    disk.fail(1, OSError(13, "not allowed"), kind="open")
    with pytest.raises(OSError, match="not allowed"):
        write_backup(SimulatedFiles(disk), path, MADE_NS, lambda _: None)
    assert list(path.parent.iterdir()) == []


def test_damage_is_told_and_everything_else_is_in_it(path: Path) -> None:
    name = segments_of(THREE)[0]
    frame = [frame for frame in frames_of(THREE[name], name) if frame.places][1]
    disk = disk_with(flipped(flipped(THREE, name, frame.head.offset + 30), name, 10))
    report = backed_up(SimulatedFiles(disk), path)
    assert report.finding_count >= 2
    backup = BackupFiles(path)
    assert backup.manifest["damage"] == [finding.text for finding in report.findings]
    assert index_name(1) in backup.names()
    assert check_journal(backup, lambda _: None).report.messages == report.messages
