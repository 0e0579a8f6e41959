#!/usr/bin/env bash
# One atlas on many GPUs of a SLURM cluster, without anything else running there.
#
#   python build.py --dry-run --images photos           # once, where there is a network: downloads
#                                                       # the weights, reads the photographs
#   job=$(sbatch --parsable --array=1-16 docs/slurm/atlas.sh --images photos)
#   sbatch --dependency=afterok:"$job" docs/slurm/atlas.sh --images photos
#
# The first line submits 16 shards, the second what joins them and writes the site. Options are
# those of a build, the same in both. Run it in the clone; its folders are seen by all nodes.
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
    status=0
    srun $ATLAS --shard "$SLURM_ARRAY_TASK_ID/$n_shards" \
        --cache "$CACHES/$SLURM_ARRAY_TASK_ID" --quiet "$@" || status=$?
    # The time is up, or the node is wanted: what is done is kept, and the rest is done later.
    if [[ $status == 143 ]]; then
        exec scontrol requeue "${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID"
    fi
    exit "$status"
fi

$ATLAS merge "$CACHES"/* --quiet "$@"
$ATLAS --quiet "$@"
