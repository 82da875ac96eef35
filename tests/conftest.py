"""What every test run shares: which build is under test, hypothesis profiles, and no silent skips in CI."""

import importlib.util
import os
import tomllib
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent
IN_CI = os.environ.get("CI", "").lower() in ("1", "true", "yes")
EXPECTED_BUILD = os.environ.get("DURABUS_TEST_BUILD", "")
BUILDS = ("compiled", "interpreted")

# Time is not what a property is about, and on a busy machine it is not reproducible; CI must not depend on luck.
settings.register_profile("dev", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", parent=settings.get_profile("dev"), derandomize=True, print_blob=True)
settings.load_profile("ci" if IN_CI else "dev")


def imported_builds() -> dict[str, str]:
    """For each module that pyproject.toml wants compiled: which way Python would import it here."""
    tables = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    builds: dict[str, str] = {}
    for pattern in tables["tool"]["durabus"]["compiled"]:
        for path in sorted((ROOT / "src").glob(pattern.replace(".", "/") + ".py")):
            name = ".".join(path.relative_to(ROOT / "src").with_suffix("").parts)
            builds[name] = build_of(name)
    return builds


def build_of(module: str) -> str:
    """How Python would import `module` here: compiled, interpreted or absent."""
    try:
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        return "absent"
    if spec is None or spec.origin is None:
        return "absent"
    return "interpreted" if spec.origin.endswith(".py") else "compiled"


def pytest_report_header() -> str:
    """Say on top of the output which build is under test."""
    kinds = sorted(set(imported_builds().values()))
    return f"durabus: {' and '.join(kinds) or 'no hot modules yet'}"


def pytest_sessionstart() -> None:
    """Refuse to test another build than the one asked for (DURABUS_TEST_BUILD)."""
    if not EXPECTED_BUILD:
        return
    if EXPECTED_BUILD not in BUILDS:
        raise pytest.UsageError(f"DURABUS_TEST_BUILD is {EXPECTED_BUILD!r}, it can be {' or '.join(BUILDS)}")
    wrong = [f"{name} is {build}" for name, build in imported_builds().items() if build != EXPECTED_BUILD]
    if wrong:
        raise pytest.UsageError(f"the {EXPECTED_BUILD} build was to be tested, but {', '.join(wrong)}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI a skipped test is a failure that says so."""
    report = yield
    if IN_CI and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = not_in_ci(report.longrepr)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a whole file that skips itself."""
    report = yield
    if IN_CI and report.skipped:
        report.outcome = "failed"
        report.longrepr = not_in_ci(report.longrepr)
    return report


def not_in_ci(skipped: object) -> str:
    """The reason of a skip, as the reason of a failure."""
    reason = skipped[2] if isinstance(skipped, tuple) else skipped
    return f"{reason}\nIn CI every test has to run: let `make setup` install what this one needs."


@pytest.fixture
def root() -> Path:
    """The top folder of the project."""
    return ROOT
