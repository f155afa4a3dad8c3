"""php-cluster: settings -> plan -> look at what is there -> machines -> cluster -> outputs."""

from dataclasses import replace

import pulumi

from components import stack_config
from components.cluster import PhpCluster
from components.engine_log import drop_debug_messages, leave_quietly_when_told
from components.gluster import tls as gluster_tls
from components.gluster.arbiter import loss_of_both_words
from components.plan.application_settings import preset_news
from components.plan.config_values import ConfigError
from components.plan.settings import read_settings
from components.plan.topology import BALANCERS
from components.protection import protect
from components.sessions.profile_switch import ProfileSwitch
from components.sessions.store_switch import StoreSwitch
from components.site.package import pack_site
from components.site.rules import closed_folders, post_max_sizes, unfollowed_rules, warning_about
from components.steps.drift import look
from components.steps.last_update import LastUpdate
from components.substrates.registry import SUBSTRATES

drop_debug_messages()
leave_quietly_when_told()

try:
    stack_config.check_project()
    settings, substrate = read_settings(stack_config.values(SUBSTRATES), stack_config.secret_keys(), SUBSTRATES)
    site = pack_site(settings.app_dir, settings.app_exclude, settings.app_max_mib, shared=settings.shared)
    web_root = (settings.app_dir / settings.application.web_root, settings.app_exclude)
    site = replace(site, post_max_sizes=post_max_sizes(*web_root), closed_folders=closed_folders(*web_root))
    last = LastUpdate.of_this_stack()
    plan = substrate.plan(settings, last)
    drift = look(last, substrate.states, settings.upgrading)
    gluster_tls.check_choice(settings.gluster_tls, last)
    nodes, profile_switch = [node.name for node in plan.php_nodes], ProfileSwitch(settings.profile, last)
    profile_switch.check(nodes, drift.gone)
    StoreSwitch(settings.session_store, last).check(nodes, drift.gone, other_profile=profile_switch.under_way)
    if substrate.PROTECTED if settings.protect is None else settings.protect:
        protect(BALANCERS, drift.gone | {settings.upgrading})
    machines = substrate.create(settings, plan, drift)
except ConfigError as problem:
    raise pulumi.RunError(str(problem)) from None

if news := preset_news(settings.application):
    pulumi.log.info(news)
if warning := warning_about(unfollowed_rules(*web_root)):
    pulumi.warn(warning)

if warning := loss_of_both_words(drift.gone, last):
    pulumi.warn(warning)

cluster = PhpCluster("cluster", settings, plan, machines, site, last=last)

pulumi.export("url", cluster.url)
pulumi.export("floatingIp", cluster.floating_ip)
if plan.floating_ip6:
    pulumi.export("floatingIp6", plan.floating_ip6)
pulumi.export("statsUrl", cluster.statistics_url)
pulumi.export("statsPassword", cluster.statistics_password)
pulumi.export("volumeInfo", cluster.volume_info)
pulumi.export("mounts", cluster.mounts)
if settings.metrics_from:
    pulumi.export("metricsFrom", list(settings.metrics_from))
pulumi.export(
    "machines",
    {
        planned.name: {
            "role": planned.role.value,
            "address": planned.address,
            "login": {
                "user": machines[planned.name].user,
                "host": machines[planned.name].connection.host,
                "through": machines[planned.name].through,
            },
            "ssh": machines[planned.name].ssh_command,
        }
        for planned in plan.machines
    },
)
