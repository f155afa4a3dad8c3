"""Key files that are a function of their seed, and that OpenSSH takes."""

import subprocess
from pathlib import Path

from cryptography.hazmat.primitives.serialization import load_ssh_private_key
from hypothesis import given
from hypothesis import strategies as st

from components.substrates.ssh_keys import SEED_BYTES, private_key, public_key

seeds = st.binary(min_size=SEED_BYTES, max_size=SEED_BYTES)


@given(seeds)
def test_the_same_seed_gives_the_same_file(seed: bytes) -> None:
    assert private_key(seed) == private_key(seed)
    load_ssh_private_key(private_key(seed).encode(), None)


def test_openssh_reads_it(tmp_path: Path) -> None:
    seed = bytes(range(SEED_BYTES))
    file = tmp_path / "key"
    file.write_text(private_key(seed))
    file.chmod(0o600)
    done = subprocess.run(["ssh-keygen", "-y", "-f", str(file)], capture_output=True, text=True, check=True)
    assert done.stdout.split()[:2] == public_key(seed).split()
