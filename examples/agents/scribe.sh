#!/bin/sh
# A small agent: does what its prompt says to one file of its worktree, and commits it.
set -eu
echo "on it: $COORD_TASK (branch $COORD_BRANCH)"
mkdir -p notes
for n in 1 2 3; do
    echo "$n. $(head -c 200 "$COORD_PROMPT_FILE")" >>"notes/$COORD_TASK.md"
    echo "wrote line $n of notes/$COORD_TASK.md"
    sleep 0.3
done
git add notes
git -c user.name=scribe -c user.email=scribe@example.invalid commit -q -m "Note $COORD_TASK"
echo "committed $(git rev-parse --short HEAD)"
coordctl notify "done with $COORD_TASK"
