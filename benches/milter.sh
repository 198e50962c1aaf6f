#!/usr/bin/env bash
# What the milter costs, on a real Postfix: mails/s of other mail with it and without (alternating runs, medians), beside
# a milter that does nothing, which is what Postfix itself spends on having one; the time of a 10 KB mail for the
# network; and the memory of the milter over many mails.
#
#   benches/milter.sh [RUNS [MAILS [MANY]]]     default 7 runs of 2000 mails, then 20000 mails at once
#
# Needs root, Postfix and a fog binary: target/release/fog, or FOG.
set -eu
cd "$(dirname "${BASH_SOURCE[0]}")/.."
runs=${1:-7} mails=${2:-2000} many=${3:-20000}
fog=$(realpath "${FOG:-${CARGO_TARGET_DIR:-target}/release/fog}")
master=/usr/lib/postfix/sbin/master
for need in "$fog" "$master" /usr/sbin/smtp-source; do
  [ -x "$need" ] || { echo "benches/milter.sh: $need is missing" >&2; exit 69; }
done
[ "$(id -u)" -eq 0 ] || { echo "benches/milter.sh: root is needed to start a private Postfix" >&2; exit 77; }

dir=$(mktemp -d)
chmod 755 "$dir"
node='' milter='' idle=''
cleanup() {
  [ -z "$milter" ] || kill "$milter" 2>/dev/null || true
  [ -z "$idle" ] || kill "$idle" 2>/dev/null || true
  [ -z "$node" ] || kill "$node" 2>/dev/null || true
  /usr/sbin/postfix -c "$dir/etc" stop >/dev/null 2>&1 || true
  rm -rf "$dir"
}
trap cleanup EXIT

# Ports below those that the system gives to clients.
port=$((20000 + RANDOM % 10000))
with=127.0.0.1:$port without=127.0.0.1:$((port + 1)) nothing=127.0.0.1:$((port + 2)) link=127.0.0.1:$((port + 3))

# A node alone is a network that takes mail.
home=$dir/n1
"$fog" init --quiet --name n1 --onion "$link" --listen "$link" --dir "$home" --new-network --roles mix,exit \
  --deliver "maildir:$dir/out" --from a@exit.invalid --set network.send-every=1ms >"$dir/init.log"
"$fog" -c "$home/fog.toml" directory sign >>"$dir/init.log"
"$fog" -c "$home/fog.toml" node 2>"$dir/node.log" &
node=$!

mkdir -p "$dir/etc" "$dir/spool" "$dir/data"
chown postfix "$dir/data"
cat >"$dir/etc/main.cf" <<CF
compatibility_level = 3.6
queue_directory = $dir/spool
data_directory = $dir/data
maillog_file_prefixes = $dir
maillog_file = $dir/mail.log
myhostname = mx.home.invalid
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
smtpd_peername_lookup = no
smtp_dns_support_level = disabled
default_transport = discard:
alias_maps =
alias_database =
smtpd_milters = unix:$dir/milter.sock
$(grep -v recipient_limit postfix/main.cf)
CF
cat >"$dir/etc/master.cf" <<CF
$with inet n - n - - smtpd
$without inet n - n - - smtpd -o smtpd_milters=
$nothing inet n - n - - smtpd -o smtpd_milters=unix:$dir/nothing.sock
cleanup unix n - n - 0 cleanup
qmgr unix n - n 1 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
flush unix n - n - 0 flush
proxymap unix - - n - - proxymap
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
CF
"$fog" -c "$home/fog.toml" milter --set "milter.listen=unix:$dir/milter.sock" 2>"$dir/milter.log" &
milter=$!
perl benches/nothing.pl "$dir/nothing.sock" &
idle=$!
for file in "$dir/milter.sock" "$dir/nothing.sock" "$home/run/submit.sock"; do
  until [ -S "$file" ]; do sleep 0.1; done
done
chgrp postfix "$dir/milter.sock" "$dir/nothing.sock"
chmod 660 "$dir/nothing.sock"
/usr/sbin/postfix -c "$dir/etc" check
"$master" -c "$dir/etc" -w

now() { date +%s%N; }
rss() { awk '/^VmRSS/ {print $2}' "/proc/$milter/status"; }
median() { sort -n | awk '{v[NR] = $1} END {print v[int((NR + 1) / 2)]}'; }

# rate ADDRESS COUNT [OPTION]: mails/s of other mail.
rate() {
  local began
  began=$(now)
  /usr/sbin/smtp-source -s 4 -m "$2" -l 4000 ${3:+"$3"} -f ann@home.invalid -t bob@dest.invalid "$1"
  echo $(($2 * 1000000000 / ($(now) - began)))
}

# ratio NAME: the median of what one run had with that milter and without any, side by side.
ratio() { paste "$dir/$1" "$dir/without" | awk '{printf "%.4f\n", $1 / $2}' | median; }

# compare WORDS [OPTION]: the same mails three ways, in turns that begin with another one each time: the machine is never
# as fast twice.
compare() {
  local words=$1 option=${2-} run turn name
  local -a names=(with nothing without)
  rm -f "$dir/with" "$dir/nothing" "$dir/without"
  for name in "${names[@]}"; do rate "${!name}" 200 "$option" >/dev/null; done
  for ((run = 0; run < runs; run++)); do
    for turn in 0 1 2; do
      name=${names[(run + turn) % 3]}
      rate "${!name}" "$mails" "$option" >>"$dir/$name"
    done
  done
  printf 'other mail, %s: %s/s with the milter, %s/s without any: ratio %s (a milter that does nothing: %s)\n' \
    "$words" "$(median <"$dir/with")" "$(median <"$dir/without")" "$(ratio with)" "$(ratio nothing)"
}

compare 'a connection for each'
compare 'many in a connection' -d

: >"$dir/times"
for ((mail = 0; mail < 30; mail++)); do
  began=$(now)
  /usr/sbin/smtp-source -s 1 -m 1 -l 10000 -f ann@home.invalid -t "b$mail@dest.invalid.fog" "$with"
  echo $((($(now) - began) / 1000000)) >>"$dir/times"
done
echo "10 KB for the network: $(median <"$dir/times") ms from connect to quit (median of 30)"

before=$(rss)
rate "$with" "$many" >/dev/null
echo "memory of the milter: $before KB before and $(rss) KB after $many mails"
