# The supervisor: first process of the containers "build" and "helper", or what the entrypoint of
# their image runs (FF_KUBERNETES_HONOR_ENTRYPOINT).
#
# usage: sh supervisor <build|helper>          take turns, run every stage of the plan, end
#        sh supervisor idle <build|helper>     wait for the end of the pod (exec strategy)
#
# It reads "plan" and "stage.<name>" beside itself (a read-only Secret) and keeps the job's records
# in the log directory (an emptyDir that both containers share):
#
#   output.log    everything the stages print, append only, addressed by byte offset
#   <n>.start     "<offset> <time>"                  stage n of the plan has begun
#   <n>.end       "<state> <code> <offset> <time>"   stage n is over
#   beat.<role>   uptime in hundredths of a second   this supervisor is alive
#   entered.<role>  "<process id>"                   the image's entrypoint has come to this script
#   user.build    "<uid>:<gid>"                      whom the files of the job shall belong to
#   cancel        made by the manager: stop the script, go on with after_script
#   gone.build    made by the manager: the build container is dead, do not wait for it
#   services      made by the manager: all services have begun (only where the plan has a "gate")
#
# Records are written to a temporary name and renamed. Nothing about the job's result is ever
# printed into the log. The result of "build" is the exit code of this process.
#
# Works in busybox ash, dash and bash. Descriptors: 9 spool, 8 plan, 7 own bell, 6 the other's.

role=$1
idle=
if [ "$role" = idle ]; then idle=1; role=$2; fi
here=${0%/*}
logs=; tools=; grace=10; first_pause=5; pre_stop=; gate=; entrypoint=; chown=

while read -r word value; do
  case $word in
    logs) logs=$value ;;
    tools) tools=$value ;;
    grace) grace=$value ;;
    pause) first_pause=$value ;;
    pre_stop) pre_stop=$value ;;
    gate) gate=$value ;;
    entrypoint) entrypoint=$value ;;
    chown) chown=$value ;;
    stage) break ;;
  esac
done < "$here/plan"

# ---- time, size, records ------------------------------------------------------------------------

# Our own tools come first for this process; scripts get the image's PATH.
image_path=${PATH:-/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin}
if [ -d "$tools/bin" ]; then PATH=$tools/bin:$image_path; export PATH; fi

uptime_now() { # NOW: hundredths of a second since boot, without a fork
  read -r NOW _ < /proc/uptime
  NOW=${NOW%.*}${NOW#*.}
}

# The time of the machine's start is the same in all containers, so that no stage seems to begin
# before the last one ended. Where /proc is made up, the two need not fit each other: then "date".
boot=0
while read -r word value _; do
  if [ "$word" = btime ]; then boot=$value; break; fi
done < /proc/stat
uptime_now
epoch=$(date +%s)
skew=$((epoch - boot - NOW / 100))
if [ "$skew" -lt -1 ] || [ "$skew" -gt 1 ]; then boot=$((epoch - NOW / 100)); fi

clock() { # AT: seconds since the epoch with hundredths
  uptime_now
  AT=$((boot + NOW / 100)).$((NOW / 10 % 10))$((NOW % 10))
}

size() { # SIZE: bytes in the spool, also after its name was removed
  SIZE=$(stat -L -c %s /proc/self/fd/9 2> /dev/null) || SIZE=$(wc -c < /proc/self/fd/9)
}

put() { # put <name> <text>: write a record atomically
  printf '%s\n' "$2" > "$logs/.$1.$role" && mv -f "$logs/.$1.$role" "$logs/$1"
} 2> /dev/null

remember() { # remember <name> <text>: a record that is written again when it is not there
  put "$1" "$2" || owed=0
  records="$records$1 $2
"
}

restore_records() {
  printf '%s' "$records" | while read -r name text; do
    [ -e "$logs/$name" ] || put "$name" "$text"
  done
}

ring() { # wake the others; a bell is only a hint, everybody also looks by himself
  printf '\n' >&6
  for follower in "$logs"/.bell-follow-*; do
    [ -p "$follower" ] && printf '\n' 1<> "$follower"
  done
} 2> /dev/null

rest() { # rest <seconds>: wait for the bell, a signal, or this long
  if [ "$bell" = read ]; then
    read -r -t "$1" _ <&7
  else
    sleep "$1" || sleep 1
  fi
} 2> /dev/null

linger() { # wait for the end of the pod; a signal ends it at once in every shell
  if [ "$bell" = read ] && [ ! "$BASH_VERSION" ]; then
    rest 1
  else
    sleep 5 &
    wait $!
  fi
}

beat() {
  if [ "$owed" ] && [ "$NOW" -ge "$owed" ]; then # the disk was full; others wait for the record
    owed=$((NOW + 50))
    restore_records
  fi
  [ "$NOW" -lt "$next_beat" ] && return
  next_beat=$((NOW + 500))
  printf '%s\n' "$NOW" > "$logs/beat.$role"
} 2> /dev/null

farewell() { # farewell <text>: the container's termination message
  printf '%s\n' "$1" > /dev/termination-log
} 2> /dev/null

# ---- the end of the pod -------------------------------------------------------------------------

ending=
trap 'ending=1' TERM
trap 'ending=1' INT
trap 'ending=1' HUP
trap : CHLD
trap : PIPE

leave() { # TERM: the pod is being deleted, as a rule
  [ "$1" ] && stop_group "$1"
  farewell "podlane: stopped by a TERM signal: the pod is being deleted, or a process of the job sent it"
  exit 143
}

stop_group() { # TERM, a grace period, KILL
  uptime_now
  limit=$((NOW + grace * 100))
  signal_group TERM "$1"
  while alive "$1"; do
    uptime_now
    [ "$NOW" -ge "$limit" ] && break
    rest 0.05
  done
  signal_group KILL "$1"
}

signal_group() { # without setsid in the image, "all processes of the container" is the group
  kill "-$1" "-$2" || others "$1" || kill "-$1" "$2"
} 2> /dev/null

age() { # age <pid>: AGE, hundredths of a second from boot to its start; fails for zombies
  read -r line < "/proc/$1/stat" || return 1
  line=${line##*") "}
  case $line in Z*) return 1 ;; esac
  set -- $line
  AGE=${20}
} 2> /dev/null

# Behind an entrypoint we are not the first process, and not everything here is the job's: what is
# older than we are is the entrypoint's. That all this is one container, and not a whole machine,
# shows in its first process: it is younger than what init-permissions left.
others() { # others <signal>: to all processes of the job
  if [ $$ -eq 1 ]; then kill "-$1" -1; return; fi
  [ "$entrypoint" ] && read -r prepared < "$logs/.prepared" || return 1
  age 1 && [ "$prepared" ] && [ "$AGE" -ge "$prepared" ] && age $$ || return 1
  born=$AGE
  round=0
  found=1
  while [ "$found" ] && [ "$round" -lt 20 ]; do # a process may beget others meanwhile
    found=
    round=$((round + 1))
    for entry in /proc/[0-9]*; do
      age "${entry#/proc/}" && [ "$AGE" -gt "$born" ] && kill "-$1" "${entry#/proc/}" && found=1
    done
    [ "$1" = KILL ] || return 0
  done
} 2> /dev/null

alive() { # alive <pid>: exists and is no zombie
  [ -e "/proc/$1/stat" ] || return 1
  read -r line < "/proc/$1/stat" || return 1
  case $line in *") Z "*) return 1 ;; esac
  return 0
} 2> /dev/null

# ---- preparation --------------------------------------------------------------------------------

spool=$logs/output.log
if [ "$role" = helper ] && [ ! "$chown" ]; then umask 0000; fi
if [ ! -e "$logs/.prepared" ]; then # init-permissions was switched off: only for tests
  if [ "$role" = helper ]; then
    umask 0022
    chmod 0755 "$logs"
    printf '' >> "$spool"
    [ "$chown" ] || umask 0000
  else
    tries=0
    until [ -e "$spool" ] || [ "$tries" -ge 200 ]; do sleep 0.05 || sleep 1; tries=$((tries + 1)); done
  fi
fi

if ! ( printf '' >> "$spool" && printf '' > "$logs/.probe.$role" ) 2> /dev/null; then
  target=$logs; [ -e "$spool" ] && target=$spool
  facts=$(stat -c 'owned by uid %u gid %g with mode %a' "$target" 2> /dev/null)
  text="podlane: cannot write $target (${facts:-owner and mode unknown}) as uid $(id -u) gid $(id -g)"
  farewell "$text"
  printf '%s\n' "$text" >&2
  exit 120
fi
exec 9>> "$spool"

[ "$role" = build ] && other=helper || other=build
for name in "$role" "$other"; do
  [ -p "$logs/.bell-$name" ] || mkfifo -m 0666 "$logs/.bell-$name" 2> /dev/null
done
bell=sleep
if [ -p "$logs/.bell-$role" ]; then
  exec 7<> "$logs/.bell-$role"
  read -r -t 0.01 _ < /dev/null 2> /dev/null
  [ $? -eq 2 ] || bell=read
else
  exec 7< /dev/null
fi
if [ -p "$logs/.bell-$other" ]; then exec 6<> "$logs/.bell-$other"; else exec 6> /dev/null; fi

if [ "$entrypoint" ]; then put "entered.$role" $$; fi
if [ "$chown" ]; then
  while read -r word value _; do
    case $word in
      Uid:) user=$value ;;
      Gid:) user=$user:$value ;;
    esac
  done < /proc/self/status
  if [ "$role" = build ]; then put user.build "$user"; fi
  PODLANE_BUILD_USER=$logs/user.build # for the scripts
  export PODLANE_BUILD_USER
fi

if [ "$idle" ]; then
  until [ "$ending" ]; do linger; done
  exit 0
fi

group=
if command -v setsid > /dev/null 2>&1; then
  group=setsid
elif [ -x "$tools/busybox" ] && "$tools/busybox" setsid true 2> /dev/null; then
  group="$tools/busybox setsid"
fi

shell=
for candidate in /usr/local/bin/bash /usr/bin/bash /bin/bash \
  /usr/local/bin/sh /usr/bin/sh /bin/sh /busybox/sh "$tools/sh"; do
  if [ -x "$candidate" ]; then shell=$candidate; break; fi
done
script_path=$image_path
[ "$shell" = "$tools/sh" ] && script_path=$image_path:$tools/bin

# ---- one stage ----------------------------------------------------------------------------------

run_script() { # run_script <name> <deadline> <stoppable>: sets CODE and STATE; deadline 0: none
  STATE=finished
  CODE=127
  if [ ! -r "$here/stage.$1" ]; then
    printf 'podlane: the script of stage %s is missing in %s\n' "$1" "$here" >&9
    return
  fi
  PATH=$script_path CI_JOB_STATUS=$status $group "$shell" "$here/stage.$1" \
    < /dev/null >&9 2>&1 5>&- 6>&- 7>&- 8>&- 9>&- &
  pid=$!
  uptime_now
  deadline=$2
  while alive "$pid"; do
    rest 0.05
    [ "$ending" ] && leave "$pid"
    uptime_now
    beat
    if [ "$3" ] && [ -e "$logs/cancel" ]; then
      STATE=canceled
      stop_group "$pid"
    elif [ "$deadline" -gt 0 ] && [ "$NOW" -ge "$deadline" ]; then
      STATE=timedout
      stop_group "$pid"
    fi
  done
  until_reaped "$pid"
  [ "$ending" ] && leave
}

until_reaped() { # a signal interrupts wait; ask again as long as the child is there
  while :; do
    wait "$1"
    CODE=$?
    [ -e "/proc/$1" ] || return
  done
}

try_stage() { # try_stage <name> <attempts> <timeout> <stoppable>; the timeout bounds all attempts
  try=1
  bound=0
  uptime_now
  [ "$3" -gt 0 ] && bound=$((NOW + $3 * 100))
  pause=$first_pause
  while :; do
    run_script "$1" "$bound" "$4"
    [ "$STATE" = finished ] && [ "$CODE" -ne 0 ] && [ "$try" -lt "$2" ] || return
    printf 'Retrying...\n' >&9
    uptime_now
    until_then=$((NOW + pause * 100))
    while [ "$NOW" -lt "$until_then" ]; do
      rest 0.2
      uptime_now
      beat
      [ "$ending" ] && leave
      [ "$4" ] && [ -e "$logs/cancel" ] && { STATE=canceled; return; }
      [ "$bound" -gt 0 ] && [ "$NOW" -ge "$bound" ] && { STATE=timedout; return; }
    done
    [ "$try" -eq 1 ] && [ "$1" = get_sources ] && [ -r "$here/stage.clear_worktree" ] \
      && run_script clear_worktree 0 "$4"
    try=$((try + 1))
    pause=$((pause * 2))
    [ "$pause" -gt 300 ] && pause=300
  done
}

wanted() { # wanted <name> <owner> <when>: whether the stage runs, given what came before
  [ "$hopeless" ] && return 1
  [ "$1" = clear_worktree ] && return 1
  if [ "$2" = build ] && [ ! "$begun" ] && [ "$status" != running ]; then return 1; fi
  case $3 in
    on_success) [ "$status" = running ] ;;
    on_failure) [ "$status" != running ] ;;
    *) return 0 ;;
  esac
}

at_gate() { # wait until the services have begun: before that, the pod may have to be made again
  while [ ! -e "$logs/services" ] && [ ! -e "$logs/cancel" ]; do
    rest 0.1
    [ "$ending" ] && leave
    uptime_now
    beat
  done
  gate=
}

perform() { # perform <name> <owner> <when> <attempts> <timeout>
  [ "$gate" ] && [ "$2" = build ] && [ "$status" = running ] && at_gate
  if [ "$status" = running ] && [ ! "$over" ] && [ -e "$logs/cancel" ]; then status=canceled; fi
  if ! wanted "$1" "$2" "$3"; then
    clock
    size
    record="skipped - $SIZE $AT"
    return
  fi
  [ "$2" = build ] && begun=1
  stoppable=1
  if [ "$1" = after_script ] || [ "$over" ]; then stoppable=; fi
  shown=$status
  if [ "$1" = after_script ]; then
    over=1
    [ "$status" = running ] && status=success
  fi
  clock
  size
  remember "$index.start" "$SIZE $AT"
  ring
  try_stage "$1" "$4" "$5" "$stoppable"
  status=$shown
  clock
  size
  record="$STATE $CODE $SIZE $AT"
}

digest() { # digest <name> <state> <code> <ignore>: what the stage's end means for the job
  [ "$2" = skipped ] && return
  [ "$4" = 1 ] && return
  case $2 in
    finished)
      [ "$3" = 0 ] && return
      [ "$status" = running ] && status=failed
      [ "$1" = prepare_script ] && hopeless=1 ;;
    canceled | timedout | gone) [ "$status" = running ] && status=$2 ;;
  esac
  [ "$status" = gone ] && status=failed
  return 0
}

say_farewell() { # the hook pre_stop: Kubernetes calls it only in containers that it stops itself
  uptime_now
  run_script pre_stop $((NOW + pre_stop * 100)) ''
  [ "$STATE$CODE" = finished0 ] && return
  printf 'podlane: pre_stop in container build: %s with exit code %s\n' "$STATE" "$CODE" >&9
}

await() { # await <index> <owner>: sets STATE and CODE from the other container's record
  while [ ! -e "$logs/$1.end" ]; do
    rest 0.02
    [ "$ending" ] && leave
    uptime_now
    beat
    if [ -e "$logs/gone.$2" ]; then
      STATE=gone
      CODE=-
      clock
      size
      remember "$1.end" "gone - $SIZE $AT"
      ring
      return
    fi
  done
  read -r STATE CODE _ < "$logs/$1.end" || { STATE=finished; CODE=1; }
}

# ---- the plan -----------------------------------------------------------------------------------

status=running
begun=; over=; hopeless=; result=; records=; reason=; owed=
index=0; last=-1; next_beat=0
exec 8< "$here/plan"
while read -r word name owner _ <&8; do
  [ "$word" = stage ] || continue
  [ "$owner" = "$role" ] && last=$index
  if [ "$owner" = "$role" ] && [ -e "$logs/$index.start" ]; then
    farewell "podlane: stage $name has begun before this container started; a stage never runs twice"
    exit 119
  fi
  index=$((index + 1))
done
uptime_now
beat

index=0
exec 8< "$here/plan"
while [ "$index" -le "$last" ] && read -r word name owner when attempts timeout ignore <&8; do
  [ "$word" = stage ] || continue
  if [ "$owner" = "$role" ]; then
    STATE=skipped
    perform "$name" "$owner" "$when" "$attempts" "$timeout"
    if [ "$STATE" != skipped ]; then
      if [ "$ignore" = 0 ] && [ ! "$result" ]; then
        [ "$CODE" -ne 0 ] && result=$CODE
        [ "$STATE" != finished ] && result=${result:-143}
        [ "$result" ] && reason="stage $name $STATE with exit code $CODE"
      fi
      digest "$name" "$STATE" "$CODE" "$ignore"
    fi
    # The last records of "build" come after the end of every process of the job, so that
    # nothing can remove them again.
    if [ "$role" = build ] && [ "$index" = "$last" ]; then
      [ "$pre_stop" ] && say_farewell
      others KILL
      restore_records
    fi
    remember "$index.end" "$record"
    ring
  else
    await "$index" "$owner"
    [ "$owner" = build ] && [ "$STATE" != skipped ] && begun=1
    [ "$owner" = build ] && over=1
    digest "$name" "$STATE" "$CODE" "$ignore"
  fi
  index=$((index + 1))
done

if [ "$role" = helper ]; then
  restore_records
  remember finished "$status"
  ring
  until [ "$ending" ]; do # the log stays readable until the pod is deleted
    linger
    uptime_now
    beat
  done
  exit 0
fi

tries=0
until [ ! "$owed" ] || [ -e "$logs/$last.end" ] || [ "$ending" ] || [ "$tries" -ge 20 ]; do
  rest 0.5
  restore_records
  tries=$((tries + 1))
done
if [ "$begun" ] && [ ! -e "$logs/$last.end" ]; then
  reason="cannot write into $logs (is the disk full?)${reason:+; $reason}"
  farewell "podlane: $reason"
fi
rm -f "$logs/beat.$role" # ended is not lost
if [ ! "$begun" ]; then
  farewell "podlane: no stage of this container ran"
  exit 118
fi
[ "$reason" ] && farewell "podlane: $reason"
exit "${result:-0}"
