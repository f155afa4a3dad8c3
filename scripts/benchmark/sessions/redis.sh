# shellcheck shell=bash
# Runs Debian's Redis on a balancer, for whoever is in the machines' own network.

set -euo pipefail
export DEBIAN_FRONTEND=noninteractive
apt-get update --quiet=2 >/dev/null
apt-get install --yes --quiet=2 --no-install-recommends redis-server >/dev/null
sed --in-place -e 's/^bind .*/bind 0.0.0.0/' -e 's/^protected-mode .*/protected-mode no/' /etc/redis/redis.conf
systemctl restart redis-server
timeout 20 bash -c 'until redis-cli ping >/dev/null; do sleep 0.1; done'
