#!/bin/sh
# Prepares what compose.yaml mounts: secrets of its own, a small certificate authority for Kafka and Mailpit, and an
# organisation profile to fill in. Never writes over a file that is there: run it again after an upgrade.
#
#   sh deploy/prepare.sh [folder]        (the folder is deploy/ unless another is named)
#
# The secrets' folder is closed to everybody else on this machine; the files in it are readable, because a container
# runs under a user of its own and sees only the files that are mounted into it.
set -eu

here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
root=${1:-$here}
secrets=$root/secrets
config=$root/config
command -v openssl >/dev/null || { echo "prepare: openssl is needed" >&2; exit 1; }

umask 022
mkdir -p "$secrets" "$config"
chmod 700 "$secrets"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

absent() { [ ! -e "$secrets/$1" ]; }
keep() { mv "$scratch/$1" "$secrets/$1"; echo "wrote $secrets/$1"; }

if absent master.keys; then
    printf 'k1:%s\n' "$(openssl rand -base64 32)" >"$scratch/master.keys" && keep master.keys
    echo "  keep a copy of it apart from the database: without it nobody in the vault can be read"
fi
for name in postgres grafana; do
    if absent "$name.password"; then
        openssl rand -hex 24 | tr -d '\n' >"$scratch/$name.password" && keep "$name.password"
    fi
done
if absent database.url; then
    printf 'postgresql://tocsin:%s@postgres:5432/tocsin\n' "$(cat "$secrets/postgres.password")" \
        >"$scratch/database.url" && keep database.url
fi
# Prometheus asks the API with a key of its own; docs/deploy.md says how it gets here.
if absent prometheus.key; then
    : >"$scratch/prometheus.key" && keep prometheus.key
fi

key="-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
if absent ca.pem; then
    # shellcheck disable=SC2086
    openssl req -x509 $key -sha256 -days 3650 -subj "/CN=Tocsin compose" -addext "keyUsage=critical,keyCertSign,cRLSign" \
        -keyout "$scratch/ca.key" -out "$scratch/ca.pem" 2>/dev/null
    chmod 600 "$scratch/ca.key"
    keep ca.key && keep ca.pem
fi

# A certificate for one name, signed by that authority.
certify() {
    absent "$1.pem" || return 0
    printf 'subjectAltName=DNS:%s\nextendedKeyUsage=serverAuth,clientAuth\n' "$1" >"$scratch/extensions"
    # shellcheck disable=SC2086
    openssl req -new $key -subj "/CN=$1" -keyout "$scratch/$1.key" -out "$scratch/$1.csr" 2>/dev/null
    openssl x509 -req -sha256 -days 825 -in "$scratch/$1.csr" -CA "$secrets/ca.pem" -CAkey "$secrets/ca.key" \
        -CAcreateserial -CAserial "$scratch/serial" -extfile "$scratch/extensions" -out "$scratch/$1.pem" 2>/dev/null
    chmod 644 "$scratch/$1.key"
    keep "$1.key" && keep "$1.pem"
}
certify kafka
certify mailpit
certify tocsin
if absent kafka.keystore.pem; then
    cat "$secrets/kafka.key" "$secrets/kafka.pem" >"$scratch/kafka.keystore.pem" && keep kafka.keystore.pem
fi

if [ ! -e "$config/organisation.toml" ]; then
    cp "$here/../tocsin/templates/organisation.toml" "$config/organisation.toml"
    echo "wrote $config/organisation.toml: fill it in before you start"
fi
