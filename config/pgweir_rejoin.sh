#!/bin/sh
# Makes a PostgreSQL server that lies on another timeline (an old primary, as a rule) a standby of the present primary:
# by pg_rewind where that works, else by a new base backup. It runs on the server's own host, as the user that the
# server runs as. In pgweir's configuration:
#
#   failover:
#     rejoin_command: "ssh postgres@%h /usr/local/bin/pgweir_rejoin.sh '%D' %p %H %r"
#
# usage: pgweir_rejoin.sh DATA_DIRECTORY PORT PRIMARY_HOST PRIMARY_PORT
#
# What it takes from its environment, with what holds otherwise:
#   PGWEIR_BIN               where pg_ctl, pg_rewind and pg_basebackup are   (the PATH)
#   PGWEIR_REWIND_USER       who pg_rewind connects to the primary as        (postgres)
#   PGWEIR_REPLICATION_USER  who the standby receives as                     (replicator)
#   PGWEIR_STANDBY_NAME      application_name of the standby                 (none: its cluster_name)
#   PGWEIR_SLOT              replication slot that the standby uses; made if it is missing      (none)
#   PGWEIR_START, PGWEIR_STOP  commands that start and stop the server       (pg_ctl)
# Passwords come from the user's ~/.pgpass. pg_rewind needs wal_log_hints = on or data checksums.
#
# The server's own configuration files in the data directory stay; so does, until the server is a standby, the data
# directory itself: it is renamed to DATA_DIRECTORY.before_rejoin when a base backup has to be made.
set -eu

if [ $# -ne 4 ]; then
  echo "usage: $0 DATA_DIRECTORY PORT PRIMARY_HOST PRIMARY_PORT" >&2
  exit 2
fi
data=$1 port=$2 primary_host=$3 primary_port=$4
[ -n "${PGWEIR_BIN:-}" ] && PATH=$PGWEIR_BIN:$PATH
rewind_user=${PGWEIR_REWIND_USER:-postgres}
replication_user=${PGWEIR_REPLICATION_USER:-replicator}
own_files="postgresql.conf postgresql.auto.conf pg_hba.conf pg_ident.conf"
kept=$(mktemp -d)
trap 'rm -rf "$kept"' EXIT

if [ ! -f "$data/PG_VERSION" ]; then
  echo "$data is no data directory" >&2
  exit 1
fi

# A retry after a base backup that broke off begins with what was there before.
for file in $own_files; do
  if [ -f "$data/$file" ]; then cp -p "$data/$file" "$kept/"; fi
done

echo "stopping the server in $data"
if [ -n "${PGWEIR_STOP:-}" ]; then
  sh -c "$PGWEIR_STOP" || true
elif pg_ctl -D "$data" status > /dev/null 2>&1; then
  pg_ctl -D "$data" -m fast -t 30 stop || pg_ctl -D "$data" -m immediate stop
fi

echo "rewinding to the history of $primary_host:$primary_port"
source="host=$primary_host port=$primary_port user=$rewind_user dbname=postgres"
# Until its first checkpoint the new primary's control file names the old timeline, and pg_rewind would find nothing to do.
psql -X -q -d "$source" -c CHECKPOINT || echo "no checkpoint could be made; a rewind may have to wait for the next one"
tries=0
while :; do
  status=0
  pg_rewind --target-pgdata="$data" --source-server="$source" > "$kept/rewind.log" 2>&1 || status=$?
  tries=$((tries + 1))
  if [ $tries -lt 60 ] && grep -q "on the same timeline" "$kept/rewind.log"; then sleep 5; else break; fi
done
cat "$kept/rewind.log"
if [ $status -eq 0 ] && ! grep -q "on the same timeline" "$kept/rewind.log"; then
  echo "rewound"
else
  echo "pg_rewind has failed; making a base backup"
  new=$data.rejoin
  rm -rf "$new"
  pg_basebackup -D "$new" -h "$primary_host" -p "$primary_port" -U "$replication_user" -X stream -c fast
  rm -rf "$data.before_rejoin"
  mv "$data" "$data.before_rejoin"
  mv "$new" "$data"
fi

for file in $own_files; do
  if [ -f "$kept/$file" ]; then cp -p "$kept/$file" "$data/"; fi
done
# pgweir makes a primary refuse writes before a switchover; a standby needs no such setting.
auto=$data/postgresql.auto.conf
touch "$auto"
sed -i -e '/^primary_conninfo *=/d' -e '/^primary_slot_name *=/d' -e '/^default_transaction_read_only *=/d' "$auto"
conninfo="host=$primary_host port=$primary_port user=$replication_user"
[ -n "${PGWEIR_STANDBY_NAME:-}" ] && conninfo="$conninfo application_name=$PGWEIR_STANDBY_NAME"
echo "primary_conninfo = '$conninfo'" >> "$auto"
if [ -n "${PGWEIR_SLOT:-}" ]; then
  echo "primary_slot_name = '$PGWEIR_SLOT'" >> "$auto"
  psql -X -q -h "$primary_host" -p "$primary_port" -U "$rewind_user" -d postgres -c \
    "SELECT pg_create_physical_replication_slot('$PGWEIR_SLOT') WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = '$PGWEIR_SLOT')"
fi
touch "$data/standby.signal"

echo "starting it as a standby"
if [ -n "${PGWEIR_START:-}" ]; then
  sh -c "$PGWEIR_START"
else
  pg_ctl -D "$data" -o "-p $port" -l "$data/pgweir_rejoin.log" -w start
fi
rm -rf "$data.before_rejoin"
echo "done"
