"""Repairing a database: what was damaged is in a file, and what can be read is served."""

import base64
import json
from pathlib import Path

import pytest

from durabus.errors import StoreError
from durabus.stores.findings import CheckReport
from durabus.stores.quarantine import Quarantine
from durabus.stores.sql.repairing import repair_database
from durabus.stores.sql.store import SqlStore
from tests.stores.sql.driving import bodies, driven
from tests.stores.sql.test_checking import DAMAGES, NOTHING, checked, damage, filled
from tests.stores.sql_harness import ask, new_database, new_source, open_store

LASTING = ("gap", "end", "no server")
"""Damages that leave nothing to repair."""


async def repaired(kind: str, source: str, folder: Path) -> CheckReport:
    """Repair into the file `quarantine` of `folder`."""
    quarantine = Quarantine(folder / "quarantine", "a database")
    try:
        return await repair_database(new_database(kind, source), quarantine, lambda _: None)
    finally:
        quarantine.close()


def set_aside(folder: Path) -> list[dict[str, object]]:
    path = folder / "quarantine"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


async def served(store: SqlStore) -> list[bytes]:
    async with driven(store) as driver:
        return await driver.messages()


@pytest.mark.parametrize("name", DAMAGES)
async def test_nothing_is_found_after_a_repair(name: str, tmp_path: Path) -> None:
    kind, source = "sqlite", new_source("sqlite", tmp_path)
    await filled(kind, source)
    damage(kind, source, name)
    before = await checked(kind, source)
    report = await repaired(kind, source, tmp_path)
    assert [finding.text for finding in report.findings] == [finding.text for finding in before.findings]
    lasting = [finding.text for finding in before.findings if finding.is_lasting]
    assert bool(lasting) == (name in LASTING)
    assert [line["why"] for line in set_aside(tmp_path)] == [
        finding.text for finding in before.findings if not finding.is_lasting
    ]
    after = await checked(kind, source)
    costs = [finding for finding in before.findings if finding.first and not finding.is_lasting]
    if not costs or name == "channel":
        assert [finding.text for finding in after.findings] == lasting
    else:
        assert all(finding.is_lasting for finding in after.findings)  # the numbers of what was taken out are missing
    async with driven(open_store(kind, source)) as driver:
        assert driver.store is not None


async def test_everything_else_is_served(kind: str, source: str, tmp_path: Path) -> None:
    await filled(kind, source)
    for name in ("message", "no data", "size", "pending", "client"):
        damage(kind, source, name)
    await repaired(kind, source, tmp_path)
    wanted = bodies(1, 10)
    wanted[4] = wanted[9] = b""
    assert await served(open_store(kind, source)) == wanted
    async with driven(open_store(kind, source)) as driver:
        batch = driver.batch()
        driver.publish(batch, 11, 1)
        assert await driver.submit(batch) is None
        assert await driver.messages(9) == [wanted[8], b"", *bodies(11, 1)]


async def test_raw_bytes_are_set_aside(kind: str, source: str, tmp_path: Path) -> None:
    await filled(kind, source)
    damage(kind, source, "message")
    await repaired(kind, source, tmp_path)
    (line,) = set_aside(tmp_path)
    assert base64.b64decode(str(line["bytes"])) == NOTHING
    assert (line["store"], line["where"]) == ("a database", "Messages id=1 seq=5")
    assert (line["channel"], line["first"], line["last"]) == ("foo", 5, 5)


async def test_a_lost_channel_comes_back(kind: str, source: str, tmp_path: Path) -> None:
    await filled(kind, source)
    damage(kind, source, "channel")
    await repaired(kind, source, tmp_path)
    assert await served(open_store(kind, source)) == bodies(1, 10)
    assert ask(kind, source, "SELECT id, name FROM Channels") == [("1", "foo")]


async def test_a_repair_can_be_repeated(kind: str, source: str, tmp_path: Path) -> None:
    await filled(kind, source)
    for name in ("message", "subscription", "server", "lock", "lost subscription"):
        damage(kind, source, name)
    assert (await repaired(kind, source, tmp_path)).finding_count >= 4
    lines = set_aside(tmp_path)
    again = await repaired(kind, source, tmp_path)
    assert all(finding.is_lasting for finding in again.findings)
    assert set_aside(tmp_path) == lines


async def test_a_server_at_work_keeps_a_repair_away(kind: str, source: str, tmp_path: Path) -> None:
    async with driven(open_store(kind, source)) as driver:
        await driver.begin()
        with pytest.raises(StoreError, match="another server uses the database"):
            await repaired(kind, source, tmp_path)


async def test_nothing_changes_when_nothing_can_be_set_aside(tmp_path: Path) -> None:
    source = new_source("sqlite", tmp_path)
    await filled("sqlite", source)
    damage("sqlite", source, "message")
    with pytest.raises(StoreError, match="cannot be written, so nothing was set aside, and nothing changed"):
        await repaired("sqlite", source, tmp_path / "nowhere")
    assert [finding.first for finding in (await checked("sqlite", source)).findings] == [5]


async def test_many_findings(tmp_path: Path) -> None:
    source = new_source("sqlite", tmp_path)
    async with driven(open_store("sqlite", source)) as driver:
        await driver.begin()
        batch = driver.batch()
        driver.publish(batch, 1, 1000)
        assert await driver.submit(batch) is None
    ask("sqlite", source, "UPDATE Messages SET data=x'ff' WHERE seq%2=0")
    assert (await repaired("sqlite", source, tmp_path)).finding_count == 500
    assert len(set_aside(tmp_path)) == 500
    assert [one for one in await served(open_store("sqlite", source)) if one] == bodies(1, 1000)[::2]
