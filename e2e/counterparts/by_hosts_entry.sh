#!/usr/bin/env bash
# Inside namespaces of its own: a server on port 443, open.ys7.com leading to it, and an unmodified client.
set -euo pipefail
ip link set lo up
printf '127.0.0.1 localhost open.ys7.com\n' > "$FOLDER/hosts"
mount --bind "$FOLDER/hosts" /etc/hosts
export FLUORITE_DATA=$FOLDER/data FLUORITE_HTTP__LISTEN=127.0.0.1:8080 FLUORITE_RTMP__LISTEN=127.0.0.1:1935
export FLUORITE_HTTP__TLS_LISTEN=127.0.0.1:443 FLUORITE_RTMP__TLS_LISTEN=127.0.0.1:1936
export FLUORITE_HTTP__TLS_CERT=$FOLDER/certificate.pem FLUORITE_HTTP__TLS_KEY=$FOLDER/key.pem
"$FLUORITE" serve --trial --ready-file "$FOLDER/ready.json" > "$FOLDER/log" 2>&1 &
server=$!
trap 'kill $server 2>/dev/null; wait $server 2>/dev/null' EXIT
for _ in $(seq 600); do
  [ -s "$FOLDER/ready.json" ] && break
  kill -0 $server 2>/dev/null || { cat "$FOLDER/log" >&2; exit 1; }
  sleep 0.05
done
ready() { "$PYTHON" -c 'import json,sys; v=json.load(open(sys.argv[1]))
for k in sys.argv[2].split("."): v=v[int(k)] if k.isdigit() else v[k]
print(v)' "$FOLDER/ready.json" "$1"; }
export APP_KEY=$(ready trial.app_key) APP_SECRET=$(ready trial.app_secret)
export SERIAL=$(ready trial.devices.0.serial) OTHER=$(ready trial.devices.1.serial)
export OTHER_CODE=$(ready trial.devices.1.validate_code)
export REQUESTS_CA_BUNDLE=$FOLDER/authority.pem
unset BASE
"$PYTHON" "$CLIENT"
