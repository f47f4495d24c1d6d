# Runs before Kubernetes stops this member: waits until enough other members have all data, for some time at most. Before
# Kubernetes 1.37, a rolling update goes on while a member that it has not restarted still copies its data.
#
# $1 is the port, $2 the script ready.sh, $3 the seconds to wait.
port=$1 script=$2 limit=$3
members_of() { timeout 2 bash -c "$script" ready "$1" "$2" 2>/dev/null; }
# Without all data itself, it is not missed.
listed=$(members_of 127.0.0.1 "$port") || exit 0
read -r -a members <<<"$listed"
others=$((${#members[@]} - 1)) majority=$((${#members[@]} / 2 + 1))
((others)) || exit 0
enough=$((others < majority ? others : majority))
while ((SECONDS < limit)); do
  complete=0
  for member in "${members[@]}"; do
    [[ $member == "$HOSTNAME".* ]] && continue
    members_of "${member%:*}" "${member##*:}" >/dev/null && ((++complete))
  done
  ((complete >= enough)) && break
  sleep 1
done
# All members may be told to stop, as when the set is deleted. Nobody starts them again, so none should wait for another:
# each still answers while the others begin.
sleep 2
