#!/usr/bin/env bash
# Runs the job @JOB@ once more, with its very inputs, environment and arguments.
# Written by `python -m local_sagemaker bundle`; needs bash, and on your PATH what the job calls
# (its Python and libraries). AWS keys are not in here: the job gets those of your environment.
# It sees a fresh copy of ml/ as /opt/ml; what it leaves behind is in work/.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=$here/work
rm -rf "$work"
cp -R "$here/ml" "$work"
. "$here/environment"
command=(@COMMAND@)

if [ -d /opt/ml ] || mkdir -p /opt/ml 2>/dev/null; then
  apart=(unshare --mount)
  [ "$(id -u)" = 0 ] || apart=(unshare --map-root-user --mount)
  if "${apart[@]}" true 2>/dev/null; then
    exec "${apart[@]}" bash -c \
      'mount --bind "$0" /opt/ml && cd /opt/ml && exec "$@"' "$work" "${command[@]}"
  fi
fi

echo "run.sh: nothing can be mounted on /opt/ml here; its path is rewritten instead" >&2
while IFS= read -r name; do
  export "$name=${!name//\/opt\/ml/$work}"
done < <(sed -n 's/^export \([A-Za-z_][A-Za-z0-9_]*\)=.*/\1/p' "$here/environment")
if [ -d "$work/input/data/sm_drivers" ]; then
  find "$work/input/data/sm_drivers" -type f \( -name '*.py' -o -name '*.sh' \) \
    -exec sed -i.bak "s|/opt/ml|$work|g" {} +
fi
cd "$work"
exec "${command[@]//\/opt\/ml/$work}"
