"""What the system tells about the process."""

import os
import resource
from pathlib import Path

import pytest

from durabus.monitoring import process
from durabus.monitoring.process import CpuMeter

S = 10**9


def test_open_files_are_counted_where_the_system_tells(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "0").touch()
    (tmp_path / "1").touch()
    monkeypatch.setattr(process, "OPEN_FILES", tmp_path)
    assert process.open_file_count() == 2
    monkeypatch.setattr(process, "OPEN_FILES", tmp_path / "nothing")
    assert process.open_file_count() == 0
    assert process.file_limit() == resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def test_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pages = tmp_path / "statm"
    pages.write_text("900 7 3 1 0 5 0\n", encoding="ascii")
    monkeypatch.setattr(process, "MEMORY", pages)
    assert process.resident_bytes() == 7 * os.sysconf("SC_PAGE_SIZE")
    monkeypatch.setattr(process, "MEMORY", tmp_path / "nothing")
    assert process.resident_bytes() > 1_000_000


def test_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 1 <= process.processor_count() <= (os.cpu_count() or 1)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert process.processor_count() == (os.cpu_count() or 1)


def test_the_share_of_a_processor_is_that_since_the_last_time(monkeypatch: pytest.MonkeyPatch) -> None:
    used = [5 * S]
    monkeypatch.setattr(process, "used_ns", lambda: used[0])
    meter = CpuMeter(100 * S)
    used[0] += S // 2
    assert meter.percent(100 * S + 1) == 0  # too short to tell
    assert meter.percent(102 * S) == 25
    assert meter.percent(102 * S + 1) == 25
    used[0] += 3 * S
    assert meter.percent(104 * S) == 150
    assert meter.percent(113 * S) == 0
    used[0] += S // 3
    assert meter.percent(114 * S) == 33.3


def test_a_clock_that_is_set_back_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "used_ns", lambda: 0)
    meter = CpuMeter(100 * S)
    assert meter.percent(50 * S) == 0
    monkeypatch.setattr(process, "used_ns", lambda: S)
    assert meter.percent(52 * S) == 50


def test_time_on_processors_grows() -> None:
    before = process.used_ns()
    while process.used_ns() == before:
        sum(range(1000))
    assert process.used_ns() > before
