"""The reader of tutorials finds what its tests stand on: a part that it passed over would be a part that nobody tests."""

import pytest

from tests.conftest import ROOT
from tests.examples.tutorial import Commands, File, Seen, Stop, read_tutorial

pytestmark = pytest.mark.once

TEXT = """\
Write `a file`:

`notes/a.txt`

```text
one
two
```

```sh
first
second
```

    it says
    this

```sh shop
serve
```

    ready

<!-- Ctrl-C: shop -->
"""


def test_every_kind_of_step_is_found_in_order() -> None:
    assert read_tutorial(TEXT) == [
        File("notes/a.txt", "one\ntwo\n"),
        Commands("", ["first", "second"]),
        Seen("", "it says\nthis\n"),
        Commands("shop", ["serve"]),
        Seen("shop", "ready\n"),
        Stop("shop"),
    ]


def test_no_block_of_the_tutorial_is_passed_over() -> None:
    text = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
    found = [step for step in read_tutorial(text) if isinstance(step, File | Commands)]
    assert len(found) == text.count("\n```") / 2 > 10
