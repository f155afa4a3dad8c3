"""Runs the emulator in a network of its own, and stacks of this project against it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.plan.settings import PROJECT_FOLDER
from scripts.stack import Stack, StackError
from scripts.toolchain.aws.plugin import VERSION

FOLDER = Path(__file__).parent
API = "http://127.0.0.1:5000"
REGION = "eu-central-1"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}

# Whatever address an instance has, public or private, is one of this namespace's own.
_BEGIN = "ip link set lo up && ip route add local 10.0.0.0/8 dev lo && exec python -m scripts.toolchain.aws.emulator"

CONFIG = {
    "php-cluster:substrate": "aws",
    "php-cluster:protect": "false",
    "aws:region": REGION,
    "aws:endpoints": json.dumps([dict.fromkeys(("ec2", "iam", "sts"), API)]),
}


@dataclass
class World:
    """The emulated cloud while it lives.

    Attributes:
        home: The engine's home, with the stand-in in it.
    """

    home: Path
    process: subprocess.Popen[str] = field(init=False)

    def __post_init__(self) -> None:
        command = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--net"]
        self.process = subprocess.Popen(
            [*command, "sh", "-c", _BEGIN],
            cwd=PROJECT_FOLDER,
            env={**os.environ, "MOTO_AMIS_PATH": str(FOLDER / "images.json")},
            stdout=subprocess.PIPE,
            text=True,
        )
        if self.process.stdout is None or self.process.stdout.readline() != "ready\n":
            raise StackError("the emulated cloud does not start")

    def end(self) -> None:
        """Nothing is left of it."""
        self.process.terminate()
        self.process.wait()

    @property
    def inside(self) -> list[str]:
        """The words before a command that is to run in the cloud's network."""
        user = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
        return ["nsenter", f"--target={self.process.pid}", *user, "--net"]

    def python(self, text: str) -> Any:
        """What a few lines leave in `result`, run in the cloud's network with `ec2` and `iam` at hand."""
        program = f"""
import json, boto3
ec2, iam = (boto3.client(name, region_name="{REGION}", endpoint_url="{API}") for name in ("ec2", "iam"))
def named(kind, name):
    return next(one for one in kind if {{"Key": "Name", "Value": name}} in (one.get("Tags") or one.get("TagSet") or []))
{text}
print(json.dumps(result, default=str))
"""
        done = subprocess.run(
            [*self.inside, sys.executable, "-c", program],
            env={**os.environ, **CREDENTIALS},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise StackError(done.stderr)
        return json.loads(done.stdout)

    def tell(self, what: str, asked: Mapping[str, Any] | None = None) -> Any:
        """A request to the emulator itself: `refuse`, `steps` or `calls`."""
        return self.python(
            f"import urllib.request\nbody = {json.dumps(json.dumps(asked or {}))}.encode()\n"
            f"result = json.load(urllib.request.urlopen('{API}/emulator/{what}', data=body))"
        )


class AwsStack(Stack):
    """A stack of substrate `aws` in the emulated cloud.

    Attributes:
        world: The cloud.
        log: What its plugin was asked and has answered, a JSON object a line.
        more: Variables of its commands, the account's credentials if nobody changes it.
    """

    def __init__(self, backend: Path, world: World, config: Mapping[str, str] | None = None) -> None:
        self.world = world
        self.log = backend.parent / "plugin.log"
        self.more: dict[str, str] = dict(CREDENTIALS)
        super().__init__(backend, {**CONFIG, **(config or {})})

    @property
    def environment(self) -> dict[str, str]:
        """Without the box's own accounts, which are no business of an emulation."""
        return {
            **{name: value for name, value in super().environment.items() if not name.startswith("AWS_")},
            "PULUMI_HOME": str(self.world.home),
            "PHP_CLUSTER": str(PROJECT_FOLDER),
            "AWS_STANDIN_LOG": str(self.log),
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
            "AWS_EC2_METADATA_DISABLED": "true",
            # Without it the engine hides the option --event-log.
            "PULUMI_DEBUG_COMMANDS": "true",
            **self.more,
        }

    def run(self, *command: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """As for every stack, in the cloud's network."""
        return super().run(*self.world.inside, *command, stdin=stdin)


def example_settings(file: Path, nodes: int) -> Path:
    """Writes what Pulumi.aws.yaml says, for so many PHP nodes; the file."""
    # The salt that a preview of this checkout's own stack has left there belongs to another passphrase.
    given = re.sub("^encryptionsalt: .*", "", (PROJECT_FOLDER / "Pulumi.aws.yaml").read_text(), flags=re.MULTILINE)
    file.write_text(given.replace('phpNodes: "2"', f'phpNodes: "{nodes}"'))
    return file


def home_with_stand_in(folder: Path, usual: Path | None = None) -> Path:
    """An engine's home that has the plugins of `usual`, this shell's own one if not given, and the stand-in for aws."""
    folder.mkdir(exist_ok=True)
    # No log of the engine's own, as scripts/toolchain/setup has it.
    (folder / "logs").touch()
    for plugin in ((usual or Path(os.environ["PULUMI_HOME"])) / "plugins").glob("resource-*"):
        if plugin.is_dir():
            shutil.copytree(plugin, folder / "plugins" / plugin.name)
    options = ["--non-interactive", "--reinstall", "--file", str(FOLDER / "pulumi-resource-aws")]
    subprocess.run(
        ["pulumi", "plugin", "install", *options, "resource", "aws", VERSION],
        env={**os.environ, "PULUMI_HOME": str(folder), "PULUMI_BACKEND_URL": f"file://{folder}"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
    )
    return folder
