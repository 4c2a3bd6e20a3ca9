# The follower: runs in the container "helper" as long as somebody reads the job's log.
#
# usage: sh follow <offset> [<first process>]
#
# stdout  the bytes of the spool from <offset>, nothing else
# stderr  one record a line:
#   stage=<name> index=<n> state=<state> code=<code> offset=<offset> at=<time>
#   pos=<n>        stdout now reaches n, and every record of an offset below n has been printed
#   truncated=<n>  the job shortened the spool to n bytes; stdout goes on with its byte 0
#   entered=<role>  the entrypoint of that container's image has come to our supervisor
#   lost=<role>    that supervisor has shown no sign of life for a minute
#   alive=<time>   nothing else to say
#   done=<status>  the plan is over, stdout is complete, no record is missing; the follower ends
#   missing=<name> as done, but the records from this stage on do not exist
#
# The spool is opened through the supervisor's own descriptor, so it is found after its name was
# removed. Idle waiting costs no process: the shell itself looks for a byte behind the end.

exec 6>&2 3> /dev/null
here=${0%/*}
pos=${1:-0}
first=${2:-1}
logs=; tools=; behind=

while read -r word value; do
  case $word in
    logs) logs=$value ;;
    tools) tools=$value ;;
    entrypoint) behind=1 ;;
    stage) break ;;
  esac
done < "$here/plan"
if [ -d "$tools/bin" ]; then PATH=$tools/bin:$PATH; export PATH; fi

# A bell of its own: where two followers share one, as after a broken stream, the byte that wakes both
# goes to one, and the read of the other waits for the next byte, whatever its time limit.
bell=sleep
mkfifo -m 0666 "$logs/.bell-follow-$$" 2> /dev/null
if [ -p "$logs/.bell-follow-$$" ]; then
  exec 7<> "$logs/.bell-follow-$$"
  read -r -t 0.01 _ < /dev/null 2> /dev/null
  [ $? -eq 2 ] || bell=read
fi
probe=
printf '' | read -r -n 1 _ 2> /dev/null
[ $? -eq 2 ] || probe=1

rest() { # rest <seconds>
  if [ "$bell" = read ]; then
    read -r -t "$1" _ <&7
  else
    sleep "$1" || sleep 1
  fi
} 2> /dev/null

uptime_now() {
  read -r NOW _ < /proc/uptime
  NOW=${NOW%.*}${NOW#*.}
}

say() {
  uptime_now
  quiet_until=$((NOW + 1500))
  printf '%s\n' "$1" >&6 || exit 1
}

if [ "$behind" ]; then # the first process is the image's entrypoint, and may take its time
  uptime_now
  quiet_until=$((NOW + 1500))
  until [ -e "$logs/entered.helper" ] && read -r first < "$logs/entered.helper"; do
    uptime_now
    [ "$NOW" -ge "$quiet_until" ] && say "alive=$NOW"
    rest 0.05
  done
  say entered=helper
fi
spool=/proc/$first/fd/9
tries=0
until [ -e "$spool" ]; do
  [ "$tries" -ge 400 ] && { spool=$logs/output.log; break; }
  rest 0.02
  tries=$((tries + 1))
done

index=0; phase=start; name=
exec 8< "$here/plan"
next_stage() { # name of stage $index, or empty after the last
  name=
  while read -r word name _ <&8; do [ "$word" = stage ] && return; name=; done
}
next_stage

records() { # print what is new
  [ "$behind" ] && [ -e "$logs/entered.build" ] && { say entered=build; behind=; }
  while [ "$name" ]; do
    if [ "$phase" = start ]; then
      if [ -e "$logs/$index.start" ] && read -r offset at < "$logs/$index.start"; then
        say "stage=$name index=$index state=started code=- offset=$offset at=$at"
      elif [ ! -e "$logs/$index.end" ]; then
        return
      fi
      phase=end
    fi
    [ -e "$logs/$index.end" ] && read -r state code offset at < "$logs/$index.end" || return
    say "stage=$name index=$index state=$state code=$code offset=$offset at=$at"
    index=$((index + 1))
    phase=start
    next_stage
  done
} 2>&3

suspects=
vital() { # vital <role>: report a supervisor without a sign of life, at the second look
  [ -e "$logs/beat.$1" ] && read -r seen < "$logs/beat.$1" || return
  case $seen in '' | *[!0-9]*) return ;; esac
  if [ $((NOW - seen)) -le 4000 ]; then
    [ "$suspects" = "$1" ] && suspects=
  elif [ "$suspects" = "$1" ]; then
    say "lost=$1"
  else # the whole machine may have been asleep
    suspects=$1
  fi
}

measure() { # SIZE of the spool
  SIZE=$(stat -L -c %s /proc/self/fd/4) || exit 1
}

chunk=64 # blocks of 64 KiB: how much is printed between two looks at the records
uptime_now
quiet_until=$((NOW + 1500))
while :; do
  finished=
  [ -e "$logs/finished" ] && read -r finished < "$logs/finished"
  exec 4< "$spool"
  measure
  if [ "$SIZE" -lt "$pos" ]; then
    say "truncated=$SIZE"
    pos=0
  fi
  before=$pos
  if [ "$SIZE" -gt "$pos" ]; then
    dd bs=65536 count=$chunk iflag=skip_bytes skip="$pos" <&4 2> /dev/null || exit 1
    read -r _ pos < /proc/self/fdinfo/4
  fi
  records
  [ "$pos" -ne "$before" ] && { say "pos=$pos"; continue; }
  if [ "$finished" ]; then
    [ "$name" ] && say "missing=$name" || say "done=$finished"
    exit 0
  fi
  # Idle: wait until there is a byte behind the end, or a record.
  exec 4< "$spool"
  dd bs=65536 count=0 iflag=skip_bytes skip="$pos" <&4 2> /dev/null
  while :; do
    if [ "$probe" ]; then
      IFS= read -r -n 1 _ <&4 && break
    else
      measure
      [ "$SIZE" -ne "$pos" ] && break
    fi
    records
    [ -e "$logs/finished" ] && break
    rest 0.05
    uptime_now
    if [ "$NOW" -ge "$quiet_until" ]; then
      say "alive=$NOW"
      vital build
      vital helper
      measure
      [ "$SIZE" -lt "$pos" ] && break
    fi
  done
done
