"""Verdicts as JSON values, in the store, and on artifacts whose digests they do not change where there are none."""

from __future__ import annotations

from weft.engine import Artifact, Verdict
from weft.engine.store.codec import content_digest

VERDICT = Verdict(True, 0.12345678, "nsfw", 0.1, "block", "a classifier")


def test_a_verdict_is_plain() -> None:
    assert VERDICT.plain() == {
        "held": True,
        "score": 0.123457,
        "label": "nsfw",
        "threshold": 0.1,
        "action": "block",
        "by": "a classifier",
    }


def test_an_artifact_with_a_verdict_is_another_value() -> None:
    plain = Artifact(b"a", "image/png", "out")
    assert content_digest(plain) == content_digest(Artifact(b"a", "image/png", "out", None))
    assert content_digest(plain) != content_digest(Artifact(b"a", "image/png", "out", VERDICT))
