#!/bin/sh
# Makes what a deployment of the compose files keeps secret, each in a file of its own:
#
#     docker/make-secrets.sh FOLDER
#
# A file that is there already stays as it is. The folder is for its owner alone; the files can be read by
# whatever user a container runs as, once they are mounted into it.
set -eu

folder=${1:?the folder to make them in}
umask 077
mkdir -p "$folder"

# NAME CONTENT: written beside its place and then moved, so that it is whole or not there.
keep() {
  [ -s "$folder/$1" ] || {
    printf '%s\n' "$2" > "$folder/$1.new"
    chmod 444 "$folder/$1.new"
    mv "$folder/$1.new" "$folder/$1"
  }
}

random() { od -An -vtx1 -N48 /dev/urandom | tr -d ' \n'; }

keep secret_key "$(random)"
keep smoke_token "$(random)"
keep postgres_password "$(random)"
keep migrate_url "postgresql://dashtam_owner:$(random)@postgres/dashtam"
keep database_url "postgresql://dashtam:$(random)@postgres/dashtam"
