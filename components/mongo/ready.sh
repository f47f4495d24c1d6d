# Succeeds if the member at host $1 and port $2 is primary or secondary, which only a member with all data is. Prints the
# members of its set.
#
# Only bash: a mongosh would take a second of CPU for each probe. The reply to `hello` is BSON: each element has a byte for
# its type, a name that ends with NUL, and a value. So the script reads from NUL to NUL.
LC_ALL=C name="" set="" active="" listed="" members=()
exec 3<>"/dev/tcp/$1/$2" || exit 1
# OP_MSG: length, id, response to, code 2013; no flags, one section. Then a document: {hello: 1, $db: "admin"}.
printf '\x34\0\0\0\1\0\0\0\0\0\0\0\xdd\x07\0\0''\0\0\0\0''\0'\
'\x1f\0\0\0''\x10hello\0\1\0\0\0''\x02$db\0\x06\0\0\0admin\0''\0' >&3
while IFS= read -r -d '' -t 1 next; do
  # The server of the first boot, which the image starts to create users, is writable and in no replica set.
  [[ $name == *$'\x02setName' ]] && set=yes
  [[ $name == *$'\x08'@(isWritablePrimary|secondary) && $next == $'\x01'* ]] && active=yes
  # The only texts in arrays before `setName` are the members, which here are no arbiters. A length lies before each text.
  [[ ! $set && $name == $'\x02'+([0-9]) ]] && listed=yes
  [[ $listed && $next == ?*:+([0-9]) ]] && members+=("$next") listed=""
  [[ $name == *$'\x01ok' ]] && break
  name=$next
done <&3
[[ $set && $active ]] && { echo "${members[@]}"; exit; }
echo "neither primary nor secondary"
exit 1
