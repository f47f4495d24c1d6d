#!/bin/bash
# The contract of the official image: flags alone mean mongod; on an empty data directory, MONGO_INITDB_ROOT_USERNAME
# and MONGO_INITDB_ROOT_PASSWORD (or the files that the same names with _FILE lead to) make the first user, then
# /docker-entrypoint-initdb.d is run, all of it on 127.0.0.1 before anybody else can connect; with a first user, mongod
# asks for authentication.
#
# Better than the official one in one thing: a first start that was interrupted is done again, not taken for done.
set -Eeuo pipefail

[[ "${1:-}" == -* ]] && set -- mongod "$@"
[[ "${1:-}" == mongod ]] || exec "$@"

from_file() { # NAME: takes $NAME_FILE's content for $NAME
  local file="$1_FILE"
  if [[ -n "${!file:-}" ]]; then
    if [[ -n "${!1:-}" ]]; then
      echo "docker-entrypoint: both $1 and $file are set: set one" >&2
      exit 1
    fi
    export "$1=$(<"${!file}")"
    unset "$file"
  fi
}
from_file MONGO_INITDB_ROOT_USERNAME
from_file MONGO_INITDB_ROOT_PASSWORD
user=${MONGO_INITDB_ROOT_USERNAME:-} password=${MONGO_INITDB_ROOT_PASSWORD:-}
if [[ -n "$user" && -z "$password" || -z "$user" && -n "$password" ]]; then
  echo "docker-entrypoint: MONGO_INITDB_ROOT_USERNAME and MONGO_INITDB_ROOT_PASSWORD go together: set both" >&2
  exit 1
fi

# What the temporary server takes over, and whether the real one must be told what it does by default here.
data=/data/db temporary=() bind=true auth=true
arguments=("${@:2}")
for ((i = 0; i < ${#arguments[@]}; i++)); do
  argument=${arguments[i]} value=()
  [[ "$argument" != *=* && "${arguments[i + 1]:--}" != -* ]] && value=("${arguments[++i]}")
  case "$argument" in
  --dbpath | --dbpath=*) data=${value[0]:-${argument#*=}} temporary+=("$argument" "${value[@]}") ;;
  --bind_ip | --bind_ip=* | --bind_ip_all) bind=false ;;
  --auth | --noauth) auth=false ;;
  # No cluster yet, nobody to authenticate, no way in but the loopback.
  --keyFile* | --replSet* | --port* | --clusterAuthMode* | --tls* | --ipv6 | --fork | --logpath* | --pidfilepath*) ;;
  *) temporary+=("$argument" "${value[@]}") ;;
  esac
done

scripts=(/docker-entrypoint-initdb.d/*.{js,sh})
unfinished=$data/.first-start-unfinished
wanted=false
[[ -n "$user" || -e "${scripts[0]}" || -e "${scripts[1]:-}" ]] && wanted=true
if $wanted && [[ ! -e "$data/WiredTiger" || -e "$unfinished" ]]; then
  : >"$unfinished"
  mongod "${temporary[@]}" --bind_ip 127.0.0.1 --port 27017 --quiet >/tmp/first-start.log 2>&1 &
  server=$!
  database=${MONGO_INITDB_DATABASE:-test}
  shell=(mongosh --quiet --norc --host 127.0.0.1 --port 27017)
  until "${shell[@]}" --eval 'db.runCommand({ ping: 1 }).ok' >/dev/null 2>&1; do
    if ! kill -0 "$server" 2>/dev/null; then
      echo "docker-entrypoint: the first start failed:" >&2
      tail -n 20 /tmp/first-start.log >&2
      exit 1
    fi
    sleep 0.1
  done
  if [[ -n "$user" ]]; then
    # From the environment, as an argument list is for everybody to read.
    MONGO_INITDB_ROOT_USERNAME=$user MONGO_INITDB_ROOT_PASSWORD=$password "${shell[@]}" admin --eval '
      const { MONGO_INITDB_ROOT_USERNAME: user, MONGO_INITDB_ROOT_PASSWORD: pwd } = process.env;
      if (!db.getUser(user)) db.createUser({ user, pwd, roles: [{ role: "root", db: "admin" }] });
    ' >/dev/null
  fi
  for script in "${scripts[@]}"; do
    case "$script" in
    *"*"*) ;;
    *.sh) . "$script" ;;
    *.js) "${shell[@]}" "$database" "$script" ;;
    esac
  done
  kill "$server"
  wait "$server"
  rm -f "$unfinished" /tmp/first-start.log
fi
unset MONGO_INITDB_ROOT_USERNAME MONGO_INITDB_ROOT_PASSWORD

$bind && set -- "$@" --bind_ip_all
$auth && [[ -n "$user" ]] && set -- "$@" --auth
exec "$@"
