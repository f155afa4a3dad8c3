"""The differences that stay, each with its reason. What is not in this table is a mistake of the stand-ins, or news."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tests.official.differences import Difference, as_json
from tests.plugins.engine import UNKNOWN


@dataclass(frozen=True)
class Known:
    """Differences that stay.

    Attributes:
        where: Regular expression, searched for in the path.
        what: Regular expression, searched for in `official -> stand-in`, both in JSON.
        reason: Why, in a sentence.
    """

    where: str
    what: str
    reason: str

    def covers(self, difference: Difference) -> bool:
        """Whether it is one of these."""
        both = f"{as_json(difference.official)} -> {as_json(difference.standin)}"
        return bool(re.search(self.where, difference.where) and re.search(self.what, both))


KNOWN: tuple[Known, ...] = (
    Known(
        r"exchanges > (Handshake|GetPluginInfo|CheckConfig|DiffConfig|Configure) ",
        "",
        "The plugins are built on other frameworks: `random` on Pulumi's bridge to Terraform, `command` on an earlier "
        "release of that of the stand-ins. What these agree on with the engine is nothing that a program sees.",
    ),
    Known(
        r" > __pulumi-go-provider-version$|(detailed diff|operations) > default_[0-9_]+( > \d+)?$",
        "",
        "The framework leaves its release in the record of a plugin. No preview calls its change a change.",
    ),
    Known(
        r" > __pulumi_raw_state_delta$",
        "-> <absent>$",
        "A hint by which the bridge restores Terraform's record. The official plugin does without it.",
    ),
    Known(
        r"exchanges > Diff random:.* > response( > (hasDetailedDiff|detailedDiff))?$",
        # Either way: in each life the other set of plugins has its turns.
        "<absent>",
        "The bridge names the differing inputs alone; the framework of the stand-ins says the same once more by path.",
    ),
    Known(
        r" > detailed diff > ",
        '^<absent> -> .*"update-replace"',
        "As above, in what the engine makes of it: the resource is replaced for the same inputs.",
    ),
    Known(
        r"exchanges > (Check|Create|Update) command:remote:CopyToRemote .* > source( > (text|uri))?$"
        r"|outputs > \S+ > source$",
        f'"" -> <absent>|<absent> -> ""|{UNKNOWN}',
        "The official plugin adds empty fields to an asset, and in a preview does not know yet what it copies.",
    ),
    Known(
        r"preview.* > (exchanges > Create random:.*|outputs > \S+) > (id|result|bcryptHash)$",
        "",
        "In a preview the bridge lists what is not known yet; the stand-in leaves it out, or says that it is a secret.",
    ),
    Known(
        r"(a step fails|interrupted).* > (messages > \(no resource\)|shown)$",
        "KeyboardInterrupt",
        "When the engine ends first, the program is interrupted, and may have the time to say so.",
    ),
    Known(
        r"^stack > interrupted > ",
        "<absent>|unchanged",
        "What else was looked at when somebody pressed Ctrl-C is chance.",
    ),
    Known(
        r"^stack > .* > outputs > php1 > (line|mountLine|address)$",
        "<absent>",
        "Three components have the name of their machine; which of them speaks last is chance.",
    ),
    Known(
        r" > messages > ",
        r"Unable to set '\w+'\. This only works if .* -> .*Unable to set '\w+'\. The SSH server takes it only if",
        "The advice on variables that a server does not take is in words of our own.",
    ),
    Known(
        r" > messages > ",
        r"ssh: rejected: connect failed \([^\"]*\)\" -> .*connect failed \(\\\"",
        "A later release of the SSH library puts the server's words into quotation marks.",
    ),
)


def reason(difference: Difference) -> str:
    """Why this difference stays; empty when nobody knows."""
    return next((one.reason for one in KNOWN if one.covers(difference)), "")
