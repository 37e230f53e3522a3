#!/usr/bin/env bash
# Rebuild model.pt: bash models/water-pbe/rebuild.sh
# Needs ase-rholearn[train,view]. Each step goes on where it was interrupted; the references are in
# densities, generate makes those that are not.
set -euo pipefail
cd "$(dirname "$0")"
ase-rholearn generate generate.yaml
ase-rholearn train train.yaml
ase-rholearn evaluate train.yaml --part test
ase-rholearn export train.yaml --output model.pt
