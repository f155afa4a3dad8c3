# shellcheck shell=bash
# Gives a machine a key and a certificate for Gluster's connections. The key never leaves the machine.
#
# Input: NAME (of the machine).
# Postcondition: /etc/ssl/glusterfs.key and .pem belong together and to NAME.
# Output: the certificate below a line that names the machine; what is done meanwhile is told on standard error.
# A second run changes nothing. For another key, remove this one and run `pulumi up`.

exec 3>&1 >&2
key=/etc/ssl/glusterfs.key certificate=/etc/ssl/glusterfs.pem

# belong_together: whether the certificate is that of the key, and of this machine.
belong_together() {
    local public
    [[ $(stat --format='%a %U' "$key" 2>/dev/null) == "600 root" ]] \
        && public=$(openssl pkey -in "$key" -pubout 2>/dev/null) \
        && [[ $(openssl x509 -in "$certificate" -noout -pubkey -subject -nameopt RFC2253 2>/dev/null) == *"$public"* ]] \
        && [[ $(openssl x509 -in "$certificate" -noout -subject -nameopt RFC2253) == "subject=CN=$NAME" ]]
}

# issue: a certificate of the key in $work, signed by itself. It is trusted by those who have it, so it needs no authority
# above it, and must not be one itself. `openssl req -x509` would do but for its dates: the certificate must hold on a
# machine whose clock is wrong, as after a boot without network time, and has no end but its removal from the lists
# (RFC 5280, 4.1.2.5, has this date for that).
issue() {
    : >"$work/issued"
    cat >"$work/settings" <<END
[ca]
default_ca = itself
[itself]
database = $work/issued
new_certs_dir = $work
rand_serial = yes
default_md = sha256
policy = name
x509_extensions = extensions
[name]
commonName = supplied
[extensions]
basicConstraints = critical, CA:FALSE
subjectKeyIdentifier = hash
[req]
prompt = no
distinguished_name = subject
[subject]
commonName = $NAME
END
    openssl req -new -config "$work/settings" -key "$work/key" -out "$work/request" \
        && openssl ca -batch -notext -selfsign -config "$work/settings" -keyfile "$work/key" -in "$work/request" \
            -startdate 19700101000000Z -enddate 99991231235959Z -out "$work/certificate"
}

if ! belong_together; then
    changing "makes a key and a certificate"
    umask 077
    work=$(mktemp --directory)
    trap 'rm -rf "$work"' EXIT
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$work/key" || fail "openssl made no key"
    said=$(issue 2>&1) || fail "openssl made no certificate: $said"
    install --mode=600 "$work/key" "$key"
    install --mode=644 "$work/certificate" "$certificate"
fi
printf '# %s, a machine of php-cluster\n%s\n' "$NAME" "$(<"$certificate")" >&3
report "the certificate of $NAME"
