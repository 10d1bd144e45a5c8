#!/bin/sh
# Prints the commands of kafka-acls.sh that give a user of Kafka what a command of Stampede needs, by the table in SECURITY.md.
#
#   deploy/acls.sh 'processor run' User:processor                      # to look at
#   deploy/acls.sh 'processor run' User:processor | BROKER=host:9092 sh   # to do, where kafka-acls.sh is; ADMIN=admin.properties is its --command-config
set -eu
if [ $# -ne 2 ]; then
  sed -n '2,5s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi
awk -F ' *[|] *' -v command="$1" -v principal="$2" '
  /^## / { inside = $0 == "## Access control lists" }
  !inside || NF < 7 { next }
  {
    gsub(/`/, "")
    if ($2 != command) next
    found = 1
    total = split($4, names, ", ")
    line = "kafka-acls.sh --bootstrap-server \"$BROKER\" ${ADMIN:+--command-config \"$ADMIN\"} --add --allow-principal \"" principal "\""
    count = split($5, operations, ", ")
    for (i = 1; i <= count; i++) line = line " --operation " operations[i]
    literal = prefixed = ""
    for (i = 1; i <= total; i++) {
      if (sub(/\*$/, "", names[i])) prefixed = prefixed " --" $3 " " names[i]
      else literal = literal " --" $3 " " names[i]
    }
    if (literal != "") print line literal
    if (prefixed != "") print line prefixed " --resource-pattern-type prefixed"
  }
  END { if (!found) { print "SECURITY.md has no row of the command " command > "/dev/stderr"; exit 1 } }
' "$(dirname "$0")/SECURITY.md"
