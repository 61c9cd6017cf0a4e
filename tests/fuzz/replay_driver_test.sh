#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# replay_driver_test.sh CYGNET-FUZZ-REPLAY: the driver says so when an input breaks its target.
set -u
replay=$1
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failed=0

# expect CODE PATTERN ARGUMENT…
expect() {
  code=$1 pattern=$2
  shift 2
  "$replay" "$@" >"$scratch/out" 2>&1
  got=$?
  if [ "$got" -ne "$code" ] || ! grep -q -- "$pattern" "$scratch/out"; then
    echo "cygnet-fuzz-replay $*: exit $got, expected $code and \"$pattern\" in:"
    cat "$scratch/out"
    failed=1
  fi
}

mkdir "$scratch/good" "$scratch/bad" "$scratch/none"
printf 'fine' >"$scratch/good/a"
printf '' >"$scratch/good/b"
printf 'fine' >"$scratch/bad/a"
printf 'bug!' >"$scratch/bad/z"
expect 0 'planted: 2 inputs' planted "$scratch/good"
expect 1 'does not hold' planted "$scratch/bad"
expect 1 "broken by $scratch/bad/z" planted "$scratch/good" "$scratch/bad"
expect 2 'no input for planted' planted "$scratch/none"
expect 2 'cannot read' planted "$scratch/nowhere"
expect 2 'targets:' unheard_of "$scratch/good"
exit $failed
