"""Files are written when they differ, removed when they are superfluous, and nobody else's are touched."""

from pathlib import Path, PurePosixPath

import pytest

from durabus.definitions.generation.plan import GenerationError
from durabus.definitions.generation.writing import MARK, compare, write

pytestmark = pytest.mark.once

OLD = {
    PurePosixPath("src/a.py"): f"# {MARK}\na = 1\n",
    PurePosixPath("src/b.py"): f"# {MARK}\n",
    PurePosixPath("py.typed"): "",
}
NEW = {PurePosixPath("src/a.py"): f"# {MARK}\na = 2\n", PurePosixPath("py.typed"): ""}


def test_what_differs_is_written_and_what_is_gone_is_removed(tmp_path: Path) -> None:
    assert [path.name for path in compare(tmp_path, OLD).changed] == ["a.py", "b.py", "py.typed"]
    write(tmp_path, OLD)
    assert compare(tmp_path, OLD).is_none
    (tmp_path / "src" / "own.py").write_text("# mine\n", encoding="utf-8")
    (tmp_path / "other.py").write_text(
        f"# {MARK}: by another run, in a folder that has no .py of this one\n", encoding="utf-8"
    )

    difference = compare(tmp_path, NEW)
    assert difference.changed == (tmp_path / "src" / "a.py",)
    assert difference.superfluous == (tmp_path / "src" / "b.py",)
    assert not difference.is_none
    assert write(tmp_path, NEW) == difference
    assert sorted(path.name for path in tmp_path.rglob("*.py")) == ["a.py", "other.py", "own.py"]
    assert (tmp_path / "src" / "a.py").read_text(encoding="utf-8") == NEW[PurePosixPath("src/a.py")]


def test_a_file_that_was_not_generated_is_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.py").write_text("precious = 1\n", encoding="utf-8")
    with pytest.raises(GenerationError, match=r"a\.py is there and was not generated"):
        write(tmp_path, OLD)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["a.py"], "nothing was written"
