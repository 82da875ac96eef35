"""Compiles the hot modules when the package is built; everything else about the package is in pyproject.toml.

`DURABUS_BUILD_EXTENSION` decides:

    yes     compile, or fail saying why
    no      do not compile: a pure wheel that runs everywhere
    auto    compile where a C compiler works, else build the pure wheel and say so (the default)

Which modules are hot is said once, in `[tool.durabus] compiled` of pyproject.toml. mypyc compiles them as one group, so
that calls between them are direct. The wheel carries their source as well: the same code runs either way.
"""

import os
import sys
import tempfile
import tomllib
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import BaseError

SWITCH = "DURABUS_BUILD_EXTENSION"
ROOT = Path(__file__).resolve().parent
SOURCE = Path("src")
BUILDING = {"bdist_wheel", "build", "build_ext", "develop", "editable_wheel", "install"}  # others ask for metadata only
PROBE = "#include <Python.h>\nint durabus_probe(void) { return PY_VERSION_HEX != 0; }\n"


class BuildExtensions(build_ext):
    """The ordinary command, but in `auto` mode a failing compiler leaves a pure package, never half a compiled one."""

    def run(self) -> None:
        """Remove what an earlier build left for modules no longer compiled, then build."""
        expected = {Path(path).resolve() for path in self.get_outputs()}
        for built in Path(self.build_lib).rglob("*.so"):
            if built.resolve() not in expected:
                built.unlink()
        try:
            super().run()
        except BaseError as error:
            if build_mode() == "yes":
                raise
            for path in expected:
                path.unlink(missing_ok=True)
            self.extensions = []
            say(f"the C compiler failed ({error}): building interpreted")


def build_mode() -> str:
    """What the environment asks for: yes, no or auto."""
    mode = os.environ.get(SWITCH, "auto").strip().lower() or "auto"
    if mode not in ("yes", "no", "auto"):
        raise SystemExit(f"durabus: {SWITCH} is {mode!r}, it can be yes, no or auto")
    return mode


def say(text: str) -> None:
    """One line for the person who builds."""
    print(f"durabus: {text}", file=sys.stderr, flush=True)


def hot_sources() -> tuple[list[str], list[str]]:
    """The files of the hot modules, and the names for which there is no file."""
    tables = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    sources: list[str] = []
    missing: list[str] = []
    for name in tables["tool"]["durabus"]["compiled"]:
        found = sorted(path.relative_to(ROOT) for path in (ROOT / SOURCE).glob(name.replace(".", "/") + ".py"))
        sources += [str(path) for path in found]
        if not found:
            missing.append(name)
    return sources, missing


def compiler_works() -> bool:
    """Whether a C file that includes Python's headers compiles here."""
    from distutils.ccompiler import new_compiler
    from distutils.sysconfig import customize_compiler, get_python_inc

    with tempfile.TemporaryDirectory() as folder:
        probe = Path(folder) / "probe.c"
        probe.write_text(PROBE, encoding="ascii")
        try:
            compiler = new_compiler()
            customize_compiler(compiler)
            compiler.add_include_dir(get_python_inc())
            if get_python_inc(plat_specific=True) != get_python_inc():
                compiler.add_include_dir(get_python_inc(plat_specific=True))
            compiler.compile([str(probe)], output_dir=folder)
        except Exception as error:  # noqa: BLE001 - whatever it is, there is no compiler to rely on
            say(f"no working C compiler here ({error})")
            return False
    return True


def extensions() -> list[Extension]:
    """What to compile: the hot modules as one mypyc group, or nothing."""
    mode = build_mode()
    if mode == "no" or not BUILDING & set(sys.argv):
        return []
    sources, missing = hot_sources()
    if missing and mode == "yes":
        raise SystemExit(f"durabus: no source for the module to compile: {', '.join(missing)}")
    if mode == "auto" and not compiler_works():
        say("building interpreted, which is correct but slower")
        return []
    from mypyc.build import mypycify

    try:
        # How strictly types are checked, and those of the rest of the package, is the business of `make types`.
        flags = ["--config-file=", "--follow-imports=silent", "--ignore-missing-imports"]
        return mypycify([*flags, *sources], opt_level="3", debug_level="0", group_name="durabus")
    except SystemExit as failure:  # how mypyc reports that it could not compile, its reasons already printed
        if mode == "yes":
            raise
        say(f"mypyc refused the source (exit code {failure.code}): building interpreted")
        return []


# A tool may import this file for its names only; the build backend runs it as __main__.
if __name__ == "__main__":
    setup(ext_modules=extensions(), cmdclass={"build_ext": BuildExtensions})
