"""What is generated from `samples`, as it was when it was last looked at: `python -m tests.definitions.golden` writes it anew."""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from durabus.definitions.folder import read_folder
from durabus.definitions.generation.asyncapi import asyncapi_text
from durabus.definitions.generation.plan import make_plan
from durabus.definitions.generation.python_package import python_files
from durabus.definitions.generation.typescript_package import typescript_files

__all__ = ["FOLDER", "golden_texts"]

HERE = Path(__file__).parent
FOLDER = HERE / "golden"


def golden_texts(samples: Path) -> dict[str, str]:
    """The contents of each file of `golden`."""
    definitions = read_folder(samples)
    plan = make_plan(definitions)
    return {
        "python.txt": _together(python_files(plan, "shop-events")),
        # The modules that are the same in every package are in the source.
        "typescript.txt": _together(
            {
                path: text
                for path, text in typescript_files(plan, "@shop/common", "1.2.0").items()
                if path.parent.name == "events" or path.stem in ("codecs", "package", "subjects", "types")
            }
        ),
        "asyncapi.json": asyncapi_text(definitions, "Shop", "1.0.0"),
    }


def _together(files: Mapping[PurePosixPath, str]) -> str:
    return "\n".join(f"==> {path} <==\n\n{text}" for path, text in files.items())


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, text in golden_texts(HERE / "samples").items():
        (FOLDER / name).write_text(text, encoding="utf-8")
