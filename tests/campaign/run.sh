#!/bin/bash
# The campaigns in full, one after the other, and what came of them in the end. CAMPAIGN=<name> runs one; a size or seed that is set
# already stays (docs/campaigns.md). Exit code 1 where anything was lost, doubled, wrong or left out.
set -uo pipefail
export CF_FULL=1 CF_SEED="${CF_SEED:-$RANDOM}"
only="${CAMPAIGN:-}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
failed=()

# campaign <name> <test target> <filter> [<variable>=<size> …]
campaign() {
    local name=$1 target=$2 filter=$3 given
    shift 3
    if [ -n "$only" ] && [ "$only" != "$name" ]; then return; fi
    local sizes=()
    for given in "$@"; do
        printenv "${given%%=*}" > /dev/null || sizes+=("$given")
    done
    echo "== $name (seed $CF_SEED) ${sizes[*]}"
    if ! env "${sizes[@]}" cargo test ${CAMPAIGN_PROFILE:+--profile "$CAMPAIGN_PROFILE"} --test "$target" "$filter" -- --nocapture 2>&1 | tee -a "$log"; then
        failed+=("$name")
    fi
    ran=1
}

ran=
campaign service_kills campaign service_kills:: CF_SERVICE_KILLS=1000
campaign database_kills campaign database_kills:: CF_DATABASE_KILLS=100
campaign service_pauses campaign pauses::a_service CF_SERVICE_PAUSES=60 CF_PAUSE_S=90
campaign database_pauses campaign pauses::a_database CF_DATABASE_PAUSES=100 CF_PAUSE_S=20
campaign cuts campaign cuts:: CF_CUTS=2000
campaign full_disks campaign disks:: CF_DISKS=10
campaign stripe campaign stripe::a_stripe CF_PAYMENTS=100000
campaign drift campaign stripe::amounts CF_DRIFTED=500
campaign webhooks inbox permutations:: CF_PERMUTATIONS=1000
campaign year reconciliation year:: CF_YEAR_PAYMENTS=50000 CF_YEAR_FAULTS=500
campaign histories reconciliation histories:: CF_HISTORIES=200
campaign crashes crash enumerated:: CF_CRASH=all

if [ -z "$ran" ]; then echo "there is no campaign '$only'" >&2; exit 2; fi
echo
echo "== what came of it"
grep -oE 'campaign [a-z_]+: .*' "$log" || true
if [ ${#failed[@]} -gt 0 ]; then echo "FAILED: ${failed[*]}"; exit 1; fi
echo "nothing lost, nothing doubled"
