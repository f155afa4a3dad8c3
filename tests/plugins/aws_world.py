"""Runs the test cloud (tests/plugins/cloud) in a network of its own, and stacks of this project against it."""

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

from tests.commands import PROJECT
from tests.plugins.engine import Engine
from tests.stack.cluster import Cluster

CLOUD = PROJECT / "tests" / "plugins" / "cloud"
API = "http://127.0.0.1:5000"
REGION = "eu-central-1"
VERSION = "7.51.1"

# Whatever address an instance has, public or private, is one of this namespace's own.
_BEGIN = "ip link set lo up && ip route add local 10.0.0.0/8 dev lo && exec python -m tests.plugins.cloud.world"

CONFIG = {
    "php-cluster:substrate": "aws",
    "aws:region": REGION,
    "aws:endpoints": json.dumps([dict.fromkeys(("ec2", "iam", "sts"), API)]),
}


@dataclass
class World:
    """The cloud while it lives, and the engine's home with the stand-in in it."""

    home: Path
    process: subprocess.Popen[str] = field(init=False)

    def __post_init__(self) -> None:
        command = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--net"]
        self.process = subprocess.Popen(
            [*command, "sh", "-c", _BEGIN],
            cwd=PROJECT,
            env={**os.environ, "MOTO_AMIS_PATH": str(CLOUD / "images.json")},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n", "the test cloud does not start"

    def end(self) -> None:
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
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def tell(self, what: str, asked: Mapping[str, Any] | None = None) -> Any:
        """The tests' own requests to the cloud."""
        return self.python(
            f"import urllib.request\nbody = {json.dumps(json.dumps(asked or {}))}.encode()\n"
            f"result = json.load(urllib.request.urlopen('{API}/tests/{what}', data=body))"
        )


CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}


class AwsCluster(Cluster):
    """A stack of substrate `aws` in the test cloud."""

    def __init__(self, backend: Path, world: World, config: Mapping[str, str] | None = None) -> None:
        self.world = world
        self.log = backend.parent / "plugin.log"
        self.more: dict[str, str] = dict(CREDENTIALS)
        super().__init__(backend, {**CONFIG, **(config or {})})

    def run(self, *command: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        usual = {name: value for name, value in self.environment.items() if not name.startswith("AWS_")}
        environment = {
            **usual,
            "PULUMI_HOME": str(self.world.home),
            "PHP_CLUSTER": str(PROJECT),
            "AWS_STANDIN_LOG": str(self.log),
            # The box's own accounts are no business of a test.
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
            "AWS_EC2_METADATA_DISABLED": "true",
            # Without it the engine hides the option --event-log.
            "PULUMI_DEBUG_COMMANDS": "true",
            **self.more,
        }
        return subprocess.run(
            [*self.world.inside, *command],
            cwd=PROJECT,
            env=environment,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )

    def set(self, path: str, value: str) -> None:
        self.pulumi("config", "set", "--stack", self.name, "--path", path, "--", value)

    def unset(self, path: str) -> None:
        self.pulumi("config", "rm", "--stack", self.name, "--path", path)

    def events(self, verb: str, *arguments: str, check: bool = True) -> Events:
        """Runs `up`, `preview` or `destroy`; what was done to each resource."""
        log = self.backend.parent / "events.json"
        log.unlink(missing_ok=True)
        skip = [] if verb == "preview" else ["--yes", "--skip-preview"]
        done = self.pulumi(verb, *skip, *arguments, "--stack", self.name, "--event-log", str(log), check=check)
        lines = log.read_text().splitlines() if log.exists() else []
        return Events(done.stdout + done.stderr, done.returncode, [json.loads(line) for line in lines])

    def urn(self, name: str) -> str:
        resources = self.export()["deployment"]["resources"]
        return next(str(one["urn"]) for one in resources if one["urn"].endswith(f"::{name}"))


@dataclass
class Events:
    """What one run of the engine did."""

    said: str
    status: int
    log: list[dict[str, Any]]

    def steps(self) -> dict[str, set[str]]:
        """Resource name to the operations that were done on it, those that left it alone excepted."""
        found: dict[str, set[str]] = {}
        for event in self.log:
            step = (event.get("resourcePreEvent") or {}).get("metadata")
            if step and step["op"] != "same":
                found.setdefault(step["urn"].rpartition("::")[2], set()).add(step["op"])
        return found


def example_settings(file: Path, nodes: int) -> Path:
    """Writes what Pulumi.aws.yaml says, for so many PHP nodes; the file."""
    # The salt that a preview of this checkout's own stack has left there belongs to another passphrase.
    given = re.sub("^encryptionsalt: .*", "", (PROJECT / "Pulumi.aws.yaml").read_text(), flags=re.MULTILINE)
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
    Engine(folder, folder).call(
        "plugin", "install", "--reinstall", "resource", "aws", VERSION, "--file", str(CLOUD / "pulumi-resource-aws")
    )
    return folder
