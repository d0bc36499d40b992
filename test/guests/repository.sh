#!/bin/sh
# A repository and what is done to it all day: repository.sh DIRECTORY FILES. GIT is the program.
# The same arguments make the same commits wherever it runs.
set -e
git() { "$GIT" "$@"; }
export HOME=/nonexistent GIT_CONFIG_NOSYSTEM=1 GIT_PAGER=cat
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.org GIT_AUTHOR_DATE='1000000000 +0000'
export GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example.org GIT_COMMITTER_DATE='1000000000 +0000'
# Objects, references and the index are written back (fsync), and nothing is done in the background.
export GIT_CONFIG_COUNT=3 GIT_CONFIG_KEY_0=core.fsync GIT_CONFIG_VALUE_0=all
export GIT_CONFIG_KEY_1=maintenance.auto GIT_CONFIG_VALUE_1=false
export GIT_CONFIG_KEY_2=safe.directory GIT_CONFIG_VALUE_2='*'

umask 022
git init -q --template= -b main "$1"
cd "$1"
i=0
while [ $i -lt "$2" ]; do
    d=d$((i - i % 8))
    mkdir -p "$d"
    echo "text $i" > "$d/file $i"
    [ $((i % 3)) != 0 ] || chmod 755 "$d/file $i"
    [ $((i % 5)) != 0 ] || ln -s "file $i" "$d/link $i"
    i=$((i + 1))
done
git add .
git commit -q -m one
# A process takes seconds where guest kernel code is interpreted.
[ "$2" -ge 8 ] || exit 0
git checkout -q -b other
echo more >> 'd0/file 0'
git mv 'd0/file 1' 'd0/moved'
rm 'd0/file 2'
git commit -q -a -m two
git checkout -q main
git merge -q --no-ff -m three other
if [ "$2" -ge 100 ]; then
    git branch -q -m other another
    git gc -q
    git clone -q --template= --local . ../"${1##*/}-clone"
    git fsck --full --strict
fi
