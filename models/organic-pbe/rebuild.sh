#!/usr/bin/env bash
# Rebuild model.pt: bash models/organic-pbe/rebuild.sh
# Needs ase-rholearn[train,view]. Each step goes on where it was interrupted; the references are in
# densities; README.md says how more of them are made.
set -euo pipefail
cd "$(dirname "$0")"
ase-rholearn train first.yaml
[ -f work/first.pt ] || ase-rholearn export first.yaml --output work/first.pt
ase-rholearn train train.yaml
ase-rholearn evaluate train.yaml --part test
ase-rholearn export train.yaml --output model.pt
