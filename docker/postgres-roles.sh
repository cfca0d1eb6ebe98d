#!/bin/sh
# Runs once, when the database is made. Two roles: the owner makes and changes the tables (the step `migrate`), the
# service reads and writes their rows and can do no more. Their passwords are those in the two URLs; where there are
# none (dev, test, ci), who gets in is decided by the network.
set -eu

password() {
  [ -r "/run/secrets/$1" ] || return 0
  url=$(cat "/run/secrets/$1")
  url=${url#*://*:}
  printf '%s' "${url%%@*}"
}

psql -X -q -v ON_ERROR_STOP=1 -U "$POSTGRES_USER" -d postgres \
  -v owner="$(password migrate_url)" -v service="$(password database_url)" <<'SQL'
CREATE ROLE dashtam_owner LOGIN PASSWORD :'owner';
CREATE ROLE dashtam LOGIN PASSWORD :'service';
CREATE DATABASE dashtam OWNER dashtam_owner;
REVOKE ALL ON DATABASE dashtam, postgres, template1 FROM PUBLIC;
GRANT CONNECT ON DATABASE dashtam TO dashtam;
\connect dashtam
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO dashtam;
ALTER DEFAULT PRIVILEGES FOR ROLE dashtam_owner IN SCHEMA public
  GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO dashtam;
ALTER DEFAULT PRIVILEGES FOR ROLE dashtam_owner IN SCHEMA public GRANT USAGE ON SEQUENCES TO dashtam;
SQL
