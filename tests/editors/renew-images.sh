#!/bin/bash
# renew-images.sh [ARTIFACTS]: puts the pictures that the last run of the tests took into docs/images, those that are there already.
set -euo pipefail
cd "$(dirname "$0")/../.."
artifacts=${1:-artifacts}
for image in docs/images/*.png; do cp "$artifacts/${image##*/}" "$image"; done
