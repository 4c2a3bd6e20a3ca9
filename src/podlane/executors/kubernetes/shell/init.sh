# init-permissions: prepares the log directory for any uid and brings the static tools.
#
# usage: sh init     (in the helper image; as root or not)
#
# A volume's root may belong to somebody else: then it can be neither chmod-ed nor chown-ed, but
# files can be created in it. So: create the files, and open them to all where allowed.

here=${0%/*}
logs=; tools=; entrypoint=
while read -r word value; do
  case $word in
    logs) logs=$value ;;
    tools) tools=$value ;;
    entrypoint) entrypoint=$value ;;
    stage) break ;;
  esac
done < "$here/plan"

umask 0000
chmod 0777 "$logs" 2> /dev/null
if ! printf '' >> "$logs/output.log"; then
  echo "podlane: init-permissions cannot create $logs/output.log as $(id)" >&2
  echo "podlane: $(stat -c 'the directory is owned by uid %u gid %g with mode %a' "$logs")" >&2
  exit 1
fi
chmod 0666 "$logs/output.log" 2> /dev/null
mkfifo -m 0666 "$logs/.bell-helper" "$logs/.bell-build"

if [ -x /usr/lib/podlane/busybox ]; then
  cp /usr/lib/podlane/busybox "$tools/busybox" || exit 1
  ln -sf busybox "$tools/sh" || exit 1
  # A busybox that finds its commands by itself needs no links; they are 300 files.
  if ! PATH=/ "$tools/sh" -c 'echo / | xargs stat -c %s' > /dev/null 2>&1; then
    mkdir -p "$tools/bin" && "$tools/busybox" --install -s "$tools/bin"
  fi
else # the stock helper image has no static shell: use what the image of the container brings
  cat > "$tools/sh" << 'EOF' || exit 1
#!/bin/sh
for shell in /usr/local/bin/bash /usr/bin/bash /bin/bash; do
  [ -x "$shell" ] && exec "$shell" "$@"
done
exec /bin/sh "$@"
EOF
  chmod 0755 "$tools/sh"
fi

# An entrypoint gets one word to run: so it does not matter whether it passes it to exec or to sh -c.
if [ "$entrypoint" ]; then
  [ "$entrypoint" = idle ] && mode='idle ' || mode=
  for role in build helper; do
    printf '#!%s\nexec "%s" "%s/supervisor" %s\n' "$tools/sh" "$tools/sh" "$here" "$mode$role" \
      > "$tools/enter-$role" && chmod 0755 "$tools/enter-$role" || exit 1
  done
fi
read -r now _ < /proc/uptime
printf '%s\n' "${now%.*}${now#*.}" > "$logs/.prepared"
