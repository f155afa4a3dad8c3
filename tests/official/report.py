"""What the comparison came to, for a person."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tests.official import known
from tests.official.differences import Difference


def unexplained(found: Iterable[Difference]) -> list[Difference]:
    """The differences that the table of known ones has no reason for."""
    return [difference for difference in found if not known.reason(difference)]


def text(found: Sequence[Difference], surprises: Sequence[str]) -> str:
    """Every difference: those that nobody has explained last, where a reader looks first."""
    by_reason: dict[str, list[Difference]] = {}
    for difference in found:
        by_reason.setdefault(known.reason(difference), []).append(difference)
    news = by_reason.pop("", [])
    parts = [f"== Known: {reason}\n\n{_places(those)}" for reason, those in by_reason.items()]
    parts += [f"== Not as expected, with either set of plugins or one\n\n{surprise}" for surprise in surprises]
    if news:
        parts.append(f"== NOT EXPLAINED by tests/official/known.py\n\n{_places(news)}")
    parts.append(
        f"{len(found)} differences, {len(news)} of them not explained; "
        f"{len(surprises)} commands did not end as expected. (- official, + stand-in)"
    )
    return "\n\n".join(parts)


def _places(found: Iterable[Difference]) -> str:
    """Differences with all the places of each: one cause shows in many."""
    places: dict[str, list[str]] = {}
    for difference in found:
        places.setdefault(difference.shown(), []).append(difference.where)
    return "\n".join("\n".join([*where, shown]) for shown, where in places.items())
