"""Words that this repository no longer uses in prose and names, since readers from outside stop at them.

`tests/retired_words.txt` lists the files that use them on purpose, one a line, sorted: a path, a colon and the reason.
The test fails for a file that uses a retired word and is not listed, for a listed file that no longer uses any, and for
one that is gone. To shrink the list, rewrite the file and delete its line. The messages name the words by line.

A word counts in any case and also as a part of a name with underscores (`told_spacing`); in a phrase, a line may break
between its words.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

LIST = Path(__file__).parent / "retired_words.txt"

RETIRED = {
    r"mend|mends|mended|mending": "hint, fix",
    r"told": "given, named by",
    r"said": "given, stated",
    r"beside": "next to, with, extra",
    r"(?:comes?|came|coming) to": "is, gives, becomes, results in",
    r"what of": "the part of ... that",
    r"what becomes of": "how ... is used",
    r"at hand": "available, loaded",
    r"lets? go": "release, evict, free",
    r"anew": "again",
    r"to speak of": "noticeable",
    r"no matter of": "cannot be set by",
}
"""Each word or phrase, as a pattern, with what to write instead."""

PATTERN = re.compile(
    "(?<![a-z])(?:" + "|".join(RETIRED).replace(" ", r"[\s_#]+") + ")(?![a-z])",
    re.IGNORECASE,
)


def uses(text: str) -> list[tuple[int, str]]:
    """Each use of a retired word in a text: its line, counted from 1, and the word."""
    return [(text.count("\n", 0, found.start()) + 1, " ".join(found[0].split())) for found in PATTERN.finditer(text)]


def texts() -> list[Path]:
    """Every Python and Markdown file that git tracks, but for this one."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "*.py", "*.md"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    own = Path(__file__).relative_to(ROOT)
    return [Path(line) for line in sorted(listed.stdout.splitlines()) if Path(line) != own and (ROOT / line).is_file()]


@pytest.mark.parametrize(
    "text",
    ["it is told so", "a told_spacing flag", "GIVEN_BESIDE", "what it comes to", "what it comes\n    # to", "Mend it."],
)
def test_a_retired_word_is_found(text: str) -> None:
    assert uses(text)


@pytest.mark.parametrize("text", ["besides", "recommend", "amended", "let us go", "overtold", "commend to"])
def test_other_words_are_left_alone(text: str) -> None:
    assert not uses(text)


def test_no_file_uses_retired_words_but_those_of_the_list() -> None:
    allowed = {line.split(":")[0] for line in LIST.read_text().splitlines()}
    found = {path.as_posix(): uses((ROOT / path).read_text()) for path in texts()}
    wrong = {path: words for path, words in found.items() if words and path not in allowed}
    assert not wrong, f"rewrite these, with the words of RETIRED in {Path(__file__).name}"
    clean = sorted(path for path in allowed if not found.get(path))
    assert not clean, f"these are clean or gone: delete their lines from {LIST.name}"


def test_the_list_is_sorted_and_has_each_file_once_with_a_reason() -> None:
    lines = [line.partition(": ") for line in LIST.read_text().splitlines()]
    paths = [path for path, _, _ in lines]
    assert paths == sorted(set(paths)) and all(reason.strip() for _, _, reason in lines)
