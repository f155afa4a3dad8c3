"""How a step's script is put together."""

import subprocess

import pytest

from components.remote import HOST_SCRIPTS, render, script_text


def test_variables_arrive_as_they_are() -> None:
    odd = "a 'quoted' \"value\" $HOME `id` \\ \n second line"
    text = script_text("step", "lib.sh", {"ODD": odd}).split("set -euo pipefail")[0].split("\n", 6)[-1]
    done = subprocess.run(["bash", "-c", f'{text} printf %s "$ODD"'], capture_output=True, text=True, check=True)
    assert done.stdout == odd


def test_a_command_of_a_script_cannot_swallow_the_rest() -> None:
    whole = script_text("volume-start", "volume-start.sh", {"VOLUME": "sessions"})
    assert '\nbash "$text" </dev/null\n' in whole


def test_a_value_cannot_end_the_text_early() -> None:
    with pytest.raises(ValueError, match="must not contain"):
        script_text("step", "volume-start.sh", {"VOLUME": "x\nEND-OF-STEP-64QF2Z\nreboot\n"})


def test_names_of_variables_are_checked() -> None:
    with pytest.raises(ValueError, match="no name for a variable"):
        script_text("step", "volume-start.sh", {"PATH=x; reboot": "1"})


@pytest.mark.parametrize("script", sorted(path.name for path in HOST_SCRIPTS.glob("*.sh") if path.name != "lib.sh"))
def test_every_script_is_bash_and_ends_with_news(script: str) -> None:
    text = script_text("step", script, {})
    subprocess.run(["bash", "-n"], input=text, text=True, check=True)
    body = (HOST_SCRIPTS / script).read_text()
    assert "report " in body or script == "volume-info.sh"
    assert "# Input: " in body


def test_a_missing_value_is_an_error() -> None:
    with pytest.raises(Exception, match="is undefined"):
        render("packet-filter.nft.j2")
