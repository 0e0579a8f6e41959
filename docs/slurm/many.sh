#!/usr/bin/env bash
# Atlases of many networks on a SLURM cluster: each line of a file is a task with one GPU.
#
#   sbatch --array=1-"$(grep -c '^[^#]' networks.txt)"%64 docs/slurm/many.sh networks.txt
#
# At most 64 at a time. The file has no empty lines, and is explained in docs/many.md. More options
# after it count for all networks. The site has a folder for each network, and a landing page.
#SBATCH --job-name=atlases
#SBATCH --gres=gpu:1
#SBATCH --cpus-per-task=8
#SBATCH --mem=32G
#SBATCH --time=02:00:00
#SBATCH --requeue
#SBATCH --signal=TERM@60
#SBATCH --output=atlases-%A-%a.log
set -euo pipefail

ATLAS=${ATLAS:-.venv/bin/python build.py} # the command
CACHES=${CACHES:-.atlas-caches}           # a folder for the cache of each network

networks=$1
shift
name=$(grep '^[^#]' "$networks" | sed -n "${SLURM_ARRAY_TASK_ID}p" | cut -d' ' -f1)
status=0
srun $ATLAS many "$networks" --only "$name" --cache "$CACHES/$name" --quiet "$@" || status=$?
if [[ $status == 143 ]]; then # the time is up: what is done is kept, and the rest is done later
    exec scontrol requeue "${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID"
fi
exit "$status"
