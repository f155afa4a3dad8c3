"""Which release of Debian the machines of the tests run: `DEBIAN=12 scripts/test stack`; without it, the default."""

import os

from components.plan.debian import DEFAULT, RELEASES

RELEASE = RELEASES[int(os.environ.get("DEBIAN", DEFAULT))]
