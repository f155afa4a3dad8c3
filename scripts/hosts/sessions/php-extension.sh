# shellcheck shell=bash
# Compiles PHP's extension of this cluster (extension/) for the PHP of this machine, for profile safe.
#
# Input: EXTENSION (the file that it becomes), BUILD_EXTENSION, COMPILER, SOURCE_… (a variable for each of its files: SOURCE_STORE_C is
# store.c).
# Postcondition: EXTENSION is there, and the machine's PHP can load it. A PHP that runs goes on with what it has.
# A second run changes nothing.

shopt -s nullglob
versions=(/etc/php/*/fpm)
((${#versions[@]} > 0)) || fail "php-fpm is not installed"
version=$(basename "$(dirname "${versions[-1]}")")

put_sources /usr/lib/php-cluster/extension
put_file /usr/lib/php-cluster/compiler 0644 "$COMPILER"
put_file /usr/lib/php-cluster/build-extension 0755 "$BUILD_EXTENSION"
if ! /usr/lib/php-cluster/build-extension is-made "$version" "$EXTENSION"; then
    changing "compiles PHP's extension"
    said=$(/usr/lib/php-cluster/build-extension make "$version" "$EXTENSION" 2>&1) \
        || fail "PHP's extension cannot be made: $said"
fi
report "PHP $version has its extension"
