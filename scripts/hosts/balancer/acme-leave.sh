# shellcheck shell=bash
# Takes back what acme.sh has set up.
#
# Input: CERTIFICATE_PATH. Postcondition: no CA is asked, and neither keys nor certificate are left. A second run changes nothing.

if [[ -e /etc/php-cluster/acme ]]; then
    changing "asks for no certificate any more"
    systemctl disable --quiet --now php-cluster-certificate.timer
    # One that asks at this moment would write again what goes.
    systemctl stop php-cluster-certificate.service
    rm -rf /etc/php-cluster/acme /var/lib/php-cluster/acme /usr/lib/php-cluster/acme-certificate \
        /etc/systemd/system/php-cluster-certificate.{service,timer} "$CERTIFICATE_PATH"
    systemctl daemon-reload
fi
forget_steps 'lb?-certificate' 'lb?-certificate-asked'
report "no certificate is asked for"
