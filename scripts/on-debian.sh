#!/usr/bin/env bash
# Runs a command on this checkout in a throw-away Debian of any suite.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: scripts/on-debian.sh [OPTIONS] SUITE COMMAND [ARGUMENTS]

Makes a minimal Debian of SUITE (bookworm, trixie, ...) with debootstrap, copies this checkout to /muster in it (the files that git
knows or would add; no build folder), runs COMMAND there as root, and removes all of it. This checkout is not changed.
Needs root and the package debootstrap. COMMAND shares the network, /dev and /sys of this machine; processes and mounts are its own.

  --keep NAME        Starts from the Debian that an earlier run kept under NAME, if there is one, and keeps this run's under NAME if
                     COMMAND installed or removed packages: the packages are installed once.
  --fresh            Makes the minimal Debian and, with --keep, the kept one anew.
  --cache FOLDER     Where they are kept. Default: $XDG_CACHE_HOME/muster or ~/.cache/muster.
  --mirror URL       Where packages come from. Default: the mirror of this machine if that is a Debian, else debootstrap's.
  --bind FROM:TO     Makes the folder FROM of this machine appear as TO, writable; may be repeated. TO may lie in /muster.
  --env NAME         Passes one more variable; may be repeated. Passed are CI, TERM, MUSTER_*, CCACHE_* and the proxies' variables.
  -h, --help         This text.

ccache inside uses the cache of this machine. apt inside uses the settings (Acquire::...) and the certificates of this machine.

Examples:
  scripts/on-debian.sh trixie scripts/quickstart.sh
  scripts/on-debian.sh --keep ci trixie scripts/test.sh -L unit
  scripts/on-debian.sh --keep ci trixie bash                                    look around
  scripts/on-debian.sh --bind /tmp/results:/results bookworm sh -c 'scripts/install-deps.sh && cp -r /var/log/apt /results'

Exit status: the one of COMMAND; 2 wrong usage, 125 the Debian could not be made, 128 + N after signal N.
TEXT
}

misused() {
  echo "on-debian: $* (see --help)" >&2
  exit 2
}

fail() {
  echo "on-debian: $*" >&2
  exit 125
}

keep="" fresh=0 mirror="" cache="${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/muster"
binds=() passed=() arguments=("$@")
while [ $# -gt 0 ]; do
  case "$1" in
    -h | --help) usage && exit 0 ;;
    --fresh) fresh=1 && shift && continue ;;
    --keep | --cache | --mirror | --bind | --env) [ $# -ge 2 ] || misused "$1 takes a value" ;;
    -*) misused "unknown option \"$1\"" ;;
    *) break ;;
  esac
  case "$1" in
    --keep) keep=$2 ;;
    --cache) cache=$2 ;;
    --mirror) mirror=$2 ;;
    --bind) binds+=("$2") ;;
    --env) passed+=("$2") ;;
  esac
  shift 2
done
[ $# -ge 2 ] || misused "SUITE and COMMAND are missing"
suite=$1
shift
[[ $suite =~ ^[a-z0-9][a-z0-9.-]*$ ]] || misused "SUITE is a name such as trixie, not \"$suite\""
[[ $keep =~ ^[A-Za-z0-9._-]*$ ]] || misused "--keep takes letters, digits, \".\", \"_\" and \"-\", not \"$keep\""
for bind in "${binds[@]}"; do
  [[ $bind == *:/* ]] || misused "--bind takes FROM:TO with an absolute TO, not \"$bind\""
  [ -d "${bind%%:*}" ] || misused "--bind $bind: ${bind%%:*} is not a folder"
done

[ "$(id -u)" -eq 0 ] || fail "mounts and chroot need root; run: sudo $0 ..."
for tool in debootstrap:debootstrap unshare:util-linux pivot_root:util-linux flock:util-linux setpriv:util-linux tar:tar; do
  command -v "${tool%:*}" >/dev/null ||
    fail "${tool%:*} is not found; run: apt-get update && apt-get install --no-install-recommends ${tool#*:}"
done

# Mounts that are made from here on are seen by nobody else and end with the last process of this script.
if [ "${ON_DEBIAN_PRIVATE-}" != $$ ]; then
  ON_DEBIAN_PRIVATE=$$ exec unshare --mount --propagation private -- "$BASH" "$0" "${arguments[@]}"
fi
unset ON_DEBIAN_PRIVATE

checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
mkdir -p "$cache" || fail "cannot make the folder $cache (see --cache)"
cache=$(cd "$cache" && pwd)

# What runs that were killed left: a run holds a lock on its folder.
exec {cache_lock}>"$cache/lock"
flock "$cache_lock"
for leftover in "$cache"/run-*; do
  [ -d "$leftover" ] || continue
  exec {lock}<"$leftover"
  if flock -n "$lock"; then rm -rf --one-file-system "$leftover"; fi
  exec {lock}<&-
done

run=$(mktemp -d "$cache/run-XXXXXX")
exec {run_lock}<"$run"
flock -n "$run_lock"
exec {cache_lock}>&-
inside=""
# shellcheck disable=SC2317  # called by the trap
clean_up() {
  trap '' HUP INT TERM
  if [ -n "$inside" ]; then
    kill -KILL "$inside" 2>/dev/null || true
    wait "$inside" 2>/dev/null || true
  fi
  if mountpoint -q "$run/root"; then umount -R -l "$run/root" || true; fi
  rm -rf --one-file-system "$run"
}
trap clean_up EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# The command runs in the background of this shell, so that a signal to the shell is answered at once.
wait_for() {
  inside=$1
  local status=0
  wait "$inside" || status=$?
  inside=""
  return "$status"
}

# In namespaces of their own: when the first process ends or is killed, so are all others, and their mounts are gone.
isolated=(setpriv --pdeathsig KILL unshare --mount --propagation private --pid --fork --kill-child --)

# ---- the minimal Debian, made once
if [ -z "${http_proxy-}" ] && command -v apt-config >/dev/null; then
  proxy=""
  eval "$(apt-config shell proxy Acquire::http::Proxy)"
  case "$proxy" in "" | DIRECT) ;; *) export http_proxy=$proxy ;; esac
fi
if [ -z "$mirror" ] && grep -qx 'ID=debian' /etc/os-release 2>/dev/null && command -v apt-get >/dev/null; then
  codename=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
  # shellcheck disable=SC2016  # apt-get replaces these
  mirror=$(apt-get indextargets --format '$(RELEASE) $(REPO_URI)' 'Component: main' 'Created-By: Packages' 2>/dev/null |
    sed -n "s/^$codename \(https\{0,1\}:.*\)/\1/p" | head -n 1)
fi

minimal=$cache/debian-$suite
exec {making_lock}>"$minimal.making"
flock "$making_lock"
exec {minimal_lock}>"$minimal.lock"
if [ "$fresh" -eq 1 ] || [ ! -d "$minimal" ]; then
  echo "on-debian: making a minimal $suite in $minimal" >&2
  "${isolated[@]}" debootstrap --variant=minbase --include=ca-certificates "$suite" "$run/minimal" ${mirror:+"$mirror"} \
    >"$run/log" 2>&1 </dev/null &
  if ! wait_for $!; then
    tail -n 20 "$run/log" >&2
    [ -e "/usr/share/debootstrap/scripts/$suite" ] ||
      fail "debootstrap knows no suite \"$suite\": give the code name of a release, or install a newer debootstrap"
    fail "debootstrap of $suite failed${mirror:+ from $mirror (see --mirror)}"
  fi
  rm -f "$run/minimal"/var/cache/apt/archives/*.deb
  if [ -d "$minimal" ]; then
    flock -n -x "$minimal_lock" || fail "--fresh: another run uses $minimal"
    mv "$minimal" "$run/old"
  fi
  mv "$run/minimal" "$minimal"
fi
flock -s "$minimal_lock"
exec {making_lock}>&-

# ---- this run's Debian on top of it, or of the one that was kept
base=$minimal
if [ -n "$keep" ]; then
  kept=$minimal-with-$keep
  exec {kept_lock}>"$kept.lock"
  flock -s "$kept_lock"
  if [ "$fresh" -eq 0 ] && [ -d "$kept" ]; then base=$kept; fi
fi
mkdir -m 755 "$run"/{root,upper,work}
if ! mount -t overlay -o "lowerdir=$base,upperdir=$run/upper,workdir=$run/work" overlay "$run/root" 2>/dev/null; then
  cp -a --reflink=auto "$base/." "$run/root"
  mount --bind "$run/root" "$run/root" || fail "cannot mount: this root may not (a container without CAP_SYS_ADMIN?)"
fi
root=$run/root

# Not through links, which would lead into this machine's own folders.
rm -f "$root"/etc/{resolv.conf,hosts,apt/sources.list}
# Names and certificates of this machine, and what it tells apt of proxies, checks and the like.
cat /etc/resolv.conf >"$root/etc/resolv.conf" 2>/dev/null || true
cat /etc/hosts >"$root/etc/hosts" 2>/dev/null || true
name=$(uname -n)
grep -qsw -- "$name" "$root/etc/hosts" || echo "127.0.1.1 $name" >>"$root/etc/hosts"
# Nobody needs a throw-away system after a power failure.
echo force-unsafe-io >"$root/etc/dpkg/dpkg.cfg.d/throw-away"
echo "deb ${mirror:-http://deb.debian.org/debian} $suite main" >"$root/etc/apt/sources.list"
if command -v apt-config >/dev/null; then
  apt-config dump Acquire | grep -vE '^Acquire::(IndexTargets|Changelogs|CompressionTypes|Languages|cdrom)|Proxy-?Auto-?Detect' \
    >"$root/etc/apt/apt.conf.d/90host"
  # The files that these settings name.
  sed -n 's/^Acquire::[^"]*\(CaInfo\|CAInfo\|SslCert\|SslKey\|IssuerCert\) "\(\/.*\)";$/\2/p' "$root/etc/apt/apt.conf.d/90host" |
    while read -r file; do
      if [ -f "$file" ]; then mkdir -p "$root${file%/*}" && cp -p "$file" "$root$file"; fi
    done
fi
certificates=/usr/local/share/ca-certificates certify=true
if [ -d "$certificates" ] && ! diff -rq "$certificates" "$root$certificates" >/dev/null; then
  cp -rL "$certificates" "$root${certificates%/*}/"
  certify=update-ca-certificates
fi

# The checkout, /tmp and ccache's folder lie outside of the Debian's file system, and are not kept with it.
mkdir -m 755 "$run/checkout"
mkdir -m 1777 "$run/tmp"
mkdir -p "$root/muster"
# shellcheck disable=SC2030,SC2031  # the "-d" of read is no variable
copy_checkout() {
  if command -v git >/dev/null && git -c safe.directory='*' -C "$checkout" rev-parse --is-inside-work-tree >/dev/null 2>&1; then
    git -c safe.directory='*' -C "$checkout" ls-files -z --cached --others --exclude-standard |
      while IFS= read -r -d '' file; do
        if [ -e "$checkout/$file" ] || [ -L "$checkout/$file" ]; then printf '%s\0' "$file"; fi
      done | tar -C "$checkout" --no-recursion --null -T - -c
  else
    tar -C "$checkout" --exclude=./build --exclude=./.git -c .
  fi | tar -C "$run/checkout" --no-same-owner -x
}
copy_checkout || fail "cannot copy $checkout to $run/checkout"
binds=("$run/tmp:/tmp" "$run/checkout:/muster" "${binds[@]}")

environment=(HOME=/root LANG=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin)
# shellcheck disable=SC2031
for name in CI TERM "${!MUSTER_@}" "${!CCACHE_@}" http_proxy https_proxy no_proxy ftp_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY "${passed[@]}"; do
  if [ "$name" != CCACHE_BASEDIR ] && [ -n "${!name+set}" ]; then environment+=("$name=${!name}"); fi
done
ccache_folder=${CCACHE_DIR:-$(ccache -k cache_dir 2>/dev/null || echo "$cache/ccache")}
mkdir -p "$ccache_folder"
binds+=("$ccache_folder:/ccache")
environment+=(CCACHE_DIR=/ccache)
if [ -z "${CCACHE_MAXSIZE-}" ] && size=$(ccache -k max_size 2>/dev/null); then environment+=("CCACHE_MAXSIZE=${size// /}"); fi

# shellcheck disable=SC2317  # called below, by another shell
enter() {
  set -eu
  local root=$1 count=$2 bind
  shift 2
  mount -t proc proc "$root/proc"
  mount --rbind /sys "$root/sys"
  mount --rbind /dev "$root/dev"
  mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
  while [ "$count" -gt 0 ]; do
    bind=$1
    shift
    count=$((count - 1))
    mkdir -p "$root${bind#*:}"
    mount --bind "${bind%%:*}" "$root${bind#*:}"
  done
  # Not chroot, in which no user namespace can be made.
  cd "$root"
  mkdir -p .host
  pivot_root . .host
  umount -l /.host
  rmdir /.host
  cd /muster
  exec /usr/bin/env -i "$@"
}
# shellcheck disable=SC2016
"${isolated[@]}" "$BASH" -c \
  "$(declare -f enter)"'; enter "$@" || { echo "on-debian: cannot enter the Debian" >&2; exit 125; }' enter \
  "$root" "${#binds[@]}" "${binds[@]}" "${environment[@]}" \
  /bin/bash -c '"$0" >/dev/null 2>&1 || echo "on-debian: update-ca-certificates failed" >&2
    "$@"
    status=$?
    exit $status' "$certify" "$@" <&0 &
status=0
wait_for $! || status=$?

# ---- what it installed is kept
packages_of() { sha256sum <"$1/var/lib/dpkg/status"; }
if [ -n "$keep" ] && { [ "$base" != "$kept" ] || [ "$(packages_of "$root")" != "$(packages_of "$base")" ]; }; then
  if [ -n "$(dpkg --root="$root" --audit)" ]; then
    echo "on-debian: not kept as \"$keep\": a package is half installed" >&2
  elif ! flock -n -x "$kept_lock"; then
    echo "on-debian: not kept as \"$keep\": another run uses the one that is kept" >&2
  else
    rm -rf "$root"/var/cache/apt/archives/*.deb
    cp -a --reflink=auto "$root" "$run/kept"
    if [ -d "$kept" ]; then mv "$kept" "$run/old-kept"; fi
    mv "$run/kept" "$kept"
    echo "on-debian: kept as \"$keep\" in $kept" >&2
  fi
fi
exit "$status"
