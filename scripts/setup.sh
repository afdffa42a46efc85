#!/usr/bin/env bash
# Brings in what a target needs, and nothing else: system packages through apt, npm packages, PyPI clients.
# usage: scripts/setup.sh run|test|bench|fuzz|lint
set -euo pipefail
cd "$(dirname "$0")/.."
goal=${1:?usage: scripts/setup.sh run|test|bench|fuzz|lint}

die() { printf 'setup: %s\n' "$*" >&2; exit 1; }

# have FILE-OR-COMMAND: whether it is there.
have() { case $1 in /*) compgen -G "$1" >/dev/null ;; *) command -v "$1" >/dev/null ;; esac; }

missing=()
# need PROOF PACKAGE...: the packages are wanted unless the proof (a command or a file) is there.
need() { local proof=$1; shift; have "$proof" || missing+=("$@"); }

have cargo || die "Rust is missing; install it from https://rustup.rs (1.95 or newer)"
have npm || die "Node.js 20 with npm is missing; install it from https://nodejs.org"
need cc gcc libc6-dev
need c++ g++
need make make
case $goal in
  test)
    need ffmpeg ffmpeg
    need /usr/bin/chromium chromium
    need /usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc fonts-noto-cjk
    need gst-launch-1.0 gstreamer1.0-tools
    need '/usr/lib/*/girepository-1.0/GstRtspServer-1.0.typelib' gir1.2-gst-rtsp-server-1.0 gstreamer1.0-rtsp
    need /usr/lib/python3/dist-packages/gi python3-gi
    need '/usr/lib/*/gstreamer-1.0/libgstx264.so' gstreamer1.0-plugins-ugly
    need '/usr/lib/*/gstreamer-1.0/libgstx265.so' gstreamer1.0-plugins-bad
    need '/usr/lib/*/gstreamer-1.0/libgstrtsp.so' gstreamer1.0-plugins-good
    need '/usr/lib/*/gstreamer-1.0/libgstapp.so' gstreamer1.0-plugins-base
    need '/usr/lib/*/gstreamer-1.0/libgstlibav.so' gstreamer1.0-libav
    need rtmpdump rtmpdump
    need ip iproute2
    need /usr/bin/python3 python3
    need '/usr/lib/python3/dist-packages/venv' python3-venv
    need '/usr/lib/python3*/ensurepip' python3-venv
    ;;
  bench)
    need ffmpeg ffmpeg
    need /usr/sbin/nginx nginx-light
    need '/usr/lib/nginx/modules/ngx_rtmp_module.so' libnginx-mod-rtmp
    need sqlite3 sqlite3
    ;;
  fuzz) need clang clang ;;
esac

if [ ${#missing[@]} -gt 0 ]; then
  wanted=$(printf '%s\n' "${missing[@]}" | sort -u | tr '\n' ' ')
  have apt-get || die "please install: $wanted"
  [ "$(id -u)" = 0 ] && sudo= || { have sudo && sudo -n true 2>/dev/null && sudo=sudo; } \
    || die "please run: sudo apt-get install --no-install-recommends $wanted"
  echo "setup: installing $wanted"
  export DEBIAN_FRONTEND=noninteractive
  # shellcheck disable=SC2086
  { $sudo apt-get -qq -o DPkg::Lock::Timeout=300 update \
      && $sudo apt-get -qq -y --no-install-recommends -o DPkg::Lock::Timeout=300 install $wanted >/dev/null; } \
    || die "apt could not install them (no network?); please install: $wanted"
fi

# npm_in FOLDER: packages as locked, unless they are there already. Not "npm ci": it insists on the
# binaries of every other platform being there too, which not every mirror has.
npm_in() {
  [ "$1/node_modules/.package-lock.json" -nt "$1/package-lock.json" ] && return
  echo "setup: npm packages of $1"
  (cd "$1" && npm install --no-audit --no-fund --loglevel=error) || die "npm could not install the packages of $1 (no network?)"
  touch "$1/node_modules/.package-lock.json"
}

case $goal in run | lint | test) npm_in apps/mobile ;; esac
case $goal in lint | test) npm_in e2e/browser ;; esac
case $goal in test) npm_in e2e/mini ;; esac

if [ "$goal" = test ] && [ ! -e .cache/venv/.done-"$(cat e2e/requirements*.txt | cksum | tr ' ' -)" ]; then
  echo "setup: Python clients"
  /usr/bin/python3 -m venv .cache/venv \
    && .cache/venv/bin/pip -q --disable-pip-version-check install -r e2e/requirements.txt \
    && .cache/venv/bin/pip -q --disable-pip-version-check install --no-deps -r e2e/requirements-alone.txt \
    || die "pip could not install e2e/requirements*.txt (no network?)"
  touch .cache/venv/.done-"$(cat e2e/requirements*.txt | cksum | tr ' ' -)"
fi
if [ "$goal" = fuzz ] && ! have cargo-fuzz; then
  cargo install --locked cargo-fuzz || die "cargo could not install cargo-fuzz (no network?)"
fi
