#!/usr/bin/env bash
# The step of action.yml: runs the gate, and shows its table in the summary of the job.
set -uo pipefail
case $INCONCLUSIVE in pass | fail) ;; *)
  echo "::error::inconclusive: $INCONCLUSIVE: use pass or fail"
  exit 2
  ;;
esac
# A checkout is shallow unless it was asked to be deep.
if ! git rev-parse --quiet --verify "$BASE^{commit}" >/dev/null; then
  case $BASE in
    HEAD*) git fetch --quiet --deepen=50 ;;
    *) git fetch --quiet --depth=1 origin "$BASE" ;;
  esac
fi
words=()
for s in $SCENARIOS; do words+=(--scenario "$s"); done
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
go build -o "$dir/pmd" ./cmd/pmd || exit 2
# As root, if that is to be had without a password, it measures AF_XDP too. The checkout
# belongs to somebody else then, and go's folders are the user's.
run=()
if [ "$(id -u)" != 0 ] && sudo -n true 2>/dev/null; then
  run=(sudo -n env "PATH=$PATH" "HOME=$HOME" "GOCACHE=$(go env GOCACHE)" "GOMODCACHE=$(go env GOMODCACHE)"
    GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory "GIT_CONFIG_VALUE_0=$PWD")
fi
"${run[@]}" "$dir/pmd" bench gate --base "$BASE" --head HEAD --tolerance "$TOLERANCE" --limit "$LIMIT" "${words[@]}" | tee "$dir/table"
status=${PIPESTATUS[0]}
case $status in
  0) verdict="not slower" ;;
  1) verdict="slower" ;;
  3) verdict="inconclusive" ;;
  *) verdict="" ;;
esac
if [ -n "${GITHUB_STEP_SUMMARY:-}" ]; then
  { echo "### Bench gate: ${verdict:-no comparison}" && echo '```' && cat "$dir/table" && echo '```'; } >>"$GITHUB_STEP_SUMMARY"
fi
if [ -n "${GITHUB_OUTPUT:-}" ]; then
  echo "verdict=$verdict" >>"$GITHUB_OUTPUT"
fi
case $status in
  0) ;;
  3)
    echo "::warning::the runner was too noisy to tell whether this change is slower"
    [ "$INCONCLUSIVE" = pass ] || exit 3
    ;;
  *)
    echo "::error::bench gate: ${verdict:-no comparison}"
    exit "$status"
    ;;
esac
