# One stage by exec (the exec strategy): the script comes on stdin.
#
# usage: sh stage run <name> <job status> <build|helper>   the exit status is the script's
#        sh stage stop <name>                             TERM, a grace period, KILL
#
# The stage is a process group of its own, so that it can be stopped as a whole.

here=${0%/*}
logs=; tools=; grace=10; chown=
while read -r word value; do
  case $word in
    logs) logs=$value ;;
    tools) tools=$value ;;
    grace) grace=$value ;;
    chown) chown=$value ;;
    stage) break ;;
  esac
done < "$here/plan"
image_path=${PATH:-/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin}
mark=$logs/exec.$2

if [ "$1" = stop ]; then
  read -r group < "$mark" || exit 0
  kill -TERM "-$group" 2> /dev/null || exit 0
  tries=0
  while kill -0 "-$group" 2> /dev/null && [ "$tries" -lt $((grace * 10)) ]; do
    sleep 0.1 || sleep 1
    tries=$((tries + 1))
  done
  kill -KILL "-$group" 2> /dev/null
  exit 0
fi

shell=
for candidate in /usr/local/bin/bash /usr/bin/bash /bin/bash \
  /usr/local/bin/sh /usr/bin/sh /bin/sh /busybox/sh "$tools/sh"; do
  if [ -x "$candidate" ]; then shell=$candidate; break; fi
done
[ "$shell" = "$tools/sh" ] && PATH=$image_path:$tools/bin
export PATH
if [ "$chown" ]; then
  PODLANE_BUILD_USER=$logs/user.build
  export PODLANE_BUILD_USER
elif [ "$4" = helper ]; then
  umask 0000
fi
CI_JOB_STATUS=$3
export CI_JOB_STATUS

read -r pid _ _ _ group _ < /proc/self/stat
if [ "$pid" = "$group" ]; then
  printf '%s\n' "$$" > "$mark"
  exec "$shell"
fi
setsid=setsid
[ -x "$tools/busybox" ] && setsid="$tools/busybox setsid"
exec $setsid "$shell" "$here/stage" lead "$2" "$3" "$4"
