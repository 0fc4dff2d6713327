#!/usr/bin/env bash
# install_test.sh BUILD_DIR CXX: installs the build into an empty prefix, uses it from another project, uninstalls it, and
# checks that nothing is left.
set -euo pipefail
build=$1 cxx=$2
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"; restore' EXIT

# A real install's manifest is what its uninstall goes by: put it aside, and back.
for file in install_manifest.txt install_prefix.txt; do
  [ ! -e "$build/$file" ] || cp -p "$build/$file" "$work.$file"
done
restore() {
  for file in install_manifest.txt install_prefix.txt; do
    [ ! -e "$work.$file" ] || mv "$work.$file" "$build/$file"
  done
}
fail() { echo "install_test: $*" >&2; exit 1; }
quietly() { "$@" >"$work/log" 2>&1 || { cat "$work/log"; fail "failed: $*"; }; }

prefix=$work/prefix
mkdir "$prefix"
quietly cmake --install "$build" --prefix "$prefix"
(cd "$prefix" && find . -type f -o -type l | sort)

# What a user of any kind needs is there.
"$prefix/bin/kvferry" --version
for part in share/doc/kvferry/LICENSE include/kvferry/kvferry.hpp; do
  [ -s "$prefix/$part" ] || fail "not installed: $part"
done
lib=$(find "$prefix" -name libkvferry.so)
[ -n "$lib" ] || fail "not installed: libkvferry.so"

# Its pages point to what was installed, too; the headers lie elsewhere.
for page in "$prefix"/share/doc/kvferry/*.md "$prefix"/share/doc/kvferry/docs/*.md; do
  for link in $(grep -oP '\]\(\K[^)#: ]+(?=[)#])' "$page" | grep -v '^include/' | sort -u); do
    [ -e "$(dirname "$page")/$link" ] || fail "${page##*/} points to $link, which is not installed"
  done
done

# It shows its own names only, finds the driver at run time, and carries no path of this build.
strange=$(nm -DC --defined-only "$lib" | cut -d' ' -f3- | grep -vE '^(((typeinfo|typeinfo name|vtable) for )?kvferry::|kvferry_[a-z_]+$)' || true)
[ -z "$strange" ] || fail "libkvferry.so shows foreign symbols: $strange"
for file in "$lib" "$prefix/bin/kvferry"; do
  needed=$(objdump -p "$file" | grep -E 'NEEDED|RPATH|RUNPATH')
  ! grep -qE 'libcuda|libcudart|RPATH|RUNPATH' <<<"$needed" || fail "$file: $needed"
done

quietly cmake -G Ninja -S "$here/consumer" -B "$work/consumer" -DCMAKE_PREFIX_PATH="$prefix" \
  -DCMAKE_CXX_COMPILER="$cxx" ${CONSUMER_FLAGS:+"-DCMAKE_CXX_FLAGS=$CONSUMER_FLAGS"}
quietly cmake --build "$work/consumer"
timeout 60 "$work/consumer/consumer" "$work"

# C, by CMake in a project without C++, and by pkg-config.
quietly cmake -G Ninja -S "$here/../../examples/c" -B "$work/c" -DCMAKE_PREFIX_PATH="$prefix" \
  ${CONSUMER_FLAGS:+"-DCMAKE_C_FLAGS=$CONSUMER_FLAGS"}
quietly cmake --build "$work/c"
timeout 60 "$here/../../examples/c/run.sh" "$work/c/server_c" "$work/c/client_c"
if command -v pkg-config >/dev/null; then
  pc=$(dirname "$(find "$prefix" -name kvferry.pc)")
  read -ra flags <<<"$(PKG_CONFIG_PATH=$pc pkg-config --cflags --libs kvferry)"
  quietly "${CC:-cc}" -std=c11 ${CONSUMER_FLAGS:-} "$here/consumer/consumer.c" -o "$work/consumer_c" "${flags[@]}"
  LD_LIBRARY_PATH=$(dirname "$lib") "$work/consumer_c"
else
  echo "install_test: pkg-config was not found: kvferry.pc is not tried"
fi

quietly cmake --build "$build" --target uninstall
left=$(find "$prefix" -mindepth 1)
[ -z "$left" ] || fail "uninstall left: $left"
! cmake --build "$build" --target uninstall >/dev/null 2>&1 || fail "a second uninstall says it did something"
echo "install_test: installed, used, uninstalled"
