"""The text of nginx's and PHP's configuration; tests/lab has the daemons judge it."""

import re

import pytest

from components.php.node import SETTINGS_SERVERS, WebRules, fpm_configuration, nginx_site, php_ini
from components.plan import topology
from components.plan.topology import Profile
from components.sessions.extension import extension_file, record_lines
from tests.commands import PROJECT

PLAN = topology.plan("198.18.7.0/24", 3, Profile.SAFE)


def test_a_page_that_hangs_ends_after_whoever_asked_for_a_session_in_time() -> None:
    safe, article = (fpm_configuration(profile, 5, request_seconds=100) for profile in (Profile.SAFE, Profile.ARTICLE))
    assert "request_terminate_timeout = 210\n" in safe
    # PHP's own handler waits in the lock, where a signal can stop the mount.
    assert "request_terminate_timeout" not in article
    assert "max_execution_time = 100\n" in php_ini({}, 100)


def test_the_trial_of_settings_is_a_server_of_its_own() -> None:
    text = nginx_site(PLAN, {}, 60, servers=SETTINGS_SERVERS)
    assert re.findall(r"listen (\S+);", text) == ["127.0.0.1:8082"]
    assert "unix:/run/php-cluster/site-trial.sock" in text and "site.sock" not in text


def test_php_keeps_its_sessions_on_the_mount() -> None:
    article, safe = php_ini({}, 60), php_ini({"memory_limit": "256M"}, 60, record_lines(60, 8))
    assert 'session.save_path = "/media/sessions"' in article and "php_cluster" not in article
    assert f"extension = {extension_file()}\n" in safe and 'php_cluster.folder = "/media/sessions"' in safe
    assert "php_cluster.waiting_places = 6\n" in safe and 'memory_limit = "256M"' in safe


def test_a_user_has_the_last_word() -> None:
    """PHP takes the last of two lines; what the session store needs is refused in settings instead."""
    lines = php_ini({"session.use_strict_mode": "0"}, 60, record_lines(60, 8)).splitlines()
    assert lines[-2:] == ['session.use_strict_mode = "0"', "; The site's own settings end here."]


@pytest.mark.parametrize(
    ("setting", "of_site", "limit"),
    [
        ({}, (), "8m"),
        ({"post_max_size": "64M"}, (), "64m"),
        ({"post_max_size": "a lot"}, (), "8m"),
        ({}, ("64M", "1G", "2M"), "1g"),
        ({"post_max_size": "100M"}, ("64M",), "100m"),
        ({"post_max_size": "0"}, ("64M",), "0"),
    ],
)
def test_nginx_takes_what_php_takes(setting: dict[str, str], of_site: tuple[str, ...], limit: str) -> None:
    assert f"client_max_body_size {limit};" in nginx_site(PLAN, setting, 60, WebRules(post_max_sizes=of_site))


def test_only_balancers_say_who_the_visitor_is() -> None:
    trusted = re.findall(r"set_real_ip_from (\S+);", nginx_site(PLAN, {}, 60))
    # On the site that serves and on the one that is tried.
    assert trusted == ["198.18.7.11", "198.18.7.12"] * 2
    trusted = re.findall(r"set_real_ip_from (\S+);", nginx_site(PLAN, {}, 60, WebRules(believed=("203.0.113.0/24",))))
    assert trusted == ["198.18.7.11", "198.18.7.12", "203.0.113.0/24"] * 2


def test_workers() -> None:
    assert "pm.max_children = 5" in fpm_configuration(Profile.SAFE, 5)


def test_programs_of_ours_run_none_of_the_site_s_code() -> None:
    """A site may prepend a file to its pages (phpSettings); whoever takes its ini files has to leave that out."""
    lines = [
        line
        for script in (PROJECT / "scripts" / "hosts").rglob("*.s[eh]*")
        for line in script.read_text().splitlines()
        if re.search(r"\bphp -c ", line)
    ]
    assert len(lines) == 4
    for line in lines:
        assert "-d auto_prepend_file= -d auto_append_file= " in line, line
