# shellcheck shell=bash
# Gives HAProxy a certificate to start with, and has this balancer look after it from then on.
#
# Input: NAMES (separated by blanks), EMAIL, DIRECTORY (the CA's), PEER (the other balancer's address), FLOATING_IP,
# CERTIFICATE_PATH (what HAProxy serves), ACCOUNT_KEY, CERTIFICATE_KEY (PEM, the same on both balancers), PROGRAM, CERTIFICATE_SERVICE,
# CERTIFICATE_TIMER (unit files).
# Postcondition: CERTIFICATE_PATH has a certificate; acme-certificate runs each minute with this. A second run changes nothing.

folder=/etc/php-cluster/acme due=/var/lib/php-cluster/acme/due
if [[ -e $folder/settings ]] && ! grep --quiet --fixed-strings --line-regexp "DIRECTORY=$DIRECTORY" "$folder/settings"; then
    changing "is to ask another CA"
    # The certificate of a CA for trials looks as good as any.
    mkdir --parents "$(dirname "$due")"
    : >"$due"
fi
put_file "$folder/account.key" 0600 "$ACCOUNT_KEY"
put_file "$folder/certificate.key" 0600 "$CERTIFICATE_KEY"
put_file "$folder/settings" 0644 "# Read by acme-certificate.
DIRECTORY=$DIRECTORY
EMAIL=$EMAIL
NAMES='$NAMES'
PEER=$PEER
FLOATING_IP=$FLOATING_IP
CERTIFICATE_PATH=$CERTIFICATE_PATH
"

# placeholder: what visitors get until the CA has certified the names: the site's own certificate of before, if it had one.
placeholder() {
    local own=/etc/haproxy/php-cluster.pem name=${NAMES%% *}
    if [[ $(openssl x509 -in "$own" -noout -checkend 0 -checkhost "$name" 2>/dev/null) == *"does match"* ]]; then
        cat "$own"
        return
    fi
    openssl req -x509 -new -key "$folder/certificate.key" -days 3650 -subj / -addext "subjectAltName=DNS:${NAMES// /,DNS:}"
    cat "$folder/certificate.key"
}
if [[ ! -s $CERTIFICATE_PATH ]]; then
    changing "makes a certificate to begin with"
    made=$(placeholder) || fail "openssl made no certificate"
    put_file "$CERTIFICATE_PATH" 0600 "$made"$'\n'
fi
put_file /usr/lib/php-cluster/acme-certificate 0755 "$PROGRAM"
put_unit php-cluster-certificate.service "$CERTIFICATE_SERVICE"
put_unit php-cluster-certificate.timer "$CERTIFICATE_TIMER"
reread_if_changed php-cluster-certificate.service php-cluster-certificate.timer
enabled_and_running php-cluster-certificate.timer
forget_steps '*-certificate-left'
report "a certificate of $NAMES is looked after"
