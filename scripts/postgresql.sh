#!/usr/bin/env bash
# Installs the programs of one major version of PostgreSQL on Debian or Ubuntu, from the PostgreSQL project's own
# packages where the system has another version, and nginx and PgBouncer, which the tests put before the service and
# before PostgreSQL. Of PostgreSQL no server is started: the tests start theirs.
set -euo pipefail

version=${1:?which major version of PostgreSQL?}
programs=/usr/lib/postgresql/$version/bin

missing=()
[[ -x $programs/initdb ]] || missing+=("postgresql-$version")
for program in nginx pgbouncer; do
  PATH="$PATH:/usr/sbin" command -v "$program" >/dev/null || missing+=("$program")
done

if ((${#missing[@]})); then
  root=()
  [[ $EUID -eq 0 ]] || root=(sudo)
  install=("${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends)
  "${root[@]}" apt-get -qq update
  "${install[@]}" ca-certificates postgresql-common
  "${root[@]}" sed --in-place 's/^#*create_main_cluster.*/create_main_cluster = false/' \
    /etc/postgresql-common/createcluster.conf
  if [[ ! -x $programs/initdb ]] && ! apt-cache show "postgresql-$version" >/dev/null 2>&1; then
    add_repository=(/usr/share/postgresql-common/pgdg/*.sh)
    "${root[@]}" "${add_repository[0]}" -y
  fi
  "${install[@]}" "${missing[@]}"
fi
"$programs/postgres" --version
