#!/usr/bin/env bash
# One atlas on many GPUs of a SLURM cluster, without anything else running there.
#
#   python build.py --images photos --dry-run --cache .atlas-shards/plan
#   job=$(sbatch --parsable --array=1-16 docs/slurm/atlas.sh --images photos)
#   sbatch --dependency=afterok:"$job" docs/slurm/atlas.sh --images photos
#
# The first line is for a machine with a network: it downloads the weights, and reads all photographs
# once, so that the shards need not. The second submits 16 shards, the third what joins them and
# writes the site. Options are those of a build, the same in all. Run it in the clone; its folders
# are seen by all nodes.
#SBATCH --job-name=atlas
#SBATCH --gres=gpu:1
#SBATCH --cpus-per-task=8
#SBATCH --mem=32G
#SBATCH --time=02:00:00
#SBATCH --requeue
#SBATCH --signal=TERM@60
#SBATCH --output=atlas-%A-%a.log
set -euo pipefail

ATLAS=${ATLAS:-.venv/bin/python build.py} # the command
CACHES=${CACHES:-.atlas-shards}           # a folder for the caches of the shards

if [[ -n ${SLURM_ARRAY_TASK_ID:-} ]]; then
    n_shards=$SLURM_ARRAY_TASK_MAX # so the array begins with 1
    cache=$CACHES/$SLURM_ARRAY_TASK_ID
    if [[ -f $CACHES/plan/atlas.sqlite && ! -e $cache/atlas.sqlite ]]; then
        mkdir -p "$cache"
        cp "$CACHES/plan/atlas.sqlite" "$cache/atlas.sqlite.new"
        mv "$cache/atlas.sqlite.new" "$cache/atlas.sqlite"
    fi
    status=0
    srun $ATLAS --shard "$SLURM_ARRAY_TASK_ID/$n_shards" --cache "$cache" --quiet "$@" || status=$?
    # The time is up, or the node is wanted: what is done is kept, and the rest is done later.
    if [[ $status == 143 ]]; then
        exec scontrol requeue "${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID"
    fi
    exit "$status"
fi

$ATLAS merge "$CACHES"/* --quiet "$@"
$ATLAS --quiet "$@"
